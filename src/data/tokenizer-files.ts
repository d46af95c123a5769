import { open as openFile } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "../tensor/errors.js";
import { failFile, openRegular, readFully, writeAtomically, writeFully } from "./disk.js";
import { fileSource } from "./file-source.js";
import { temporaryFolder } from "./gzip-file.js";
import type { TokenStore } from "./token-store.js";
import { Tokenizer as InMemory } from "./tokenizer.js";
import { maxFileCharacters, parseJson, type TokenizerFile } from "./tokenizer-file.js";

const maxConfigBytes = 8 * 1024 * 1024;

/**
 * Opens the tokenizer of a model's folder: tokenizer.json, and where they are there tokenizer_config.json,
 * special_tokens_map.json, and the chat template of chat_template.jinja or chat_template.json.
 *
 *   const tokenizer = await Tokenizer.open("models/llama-3");
 *
 * @throws LayerwiseError "file" naming the file and the key that is wrong.
 */
async function open(folder: string): Promise<InMemory> {
  const at = (name: string): string => join(folder, name);
  const file = parseJson(await readText(at("tokenizer.json"), maxFileCharacters), at("tokenizer.json")) as object;
  const config = (await readObject(at("tokenizer_config.json"))) ?? {};
  const specialTokens = (await readObject(at("special_tokens_map.json"))) ?? {};
  const template = await readTemplate(folder);
  return InMemory.from(file, {
    config: template === undefined ? config : { ...config, chat_template: template },
    specialTokens,
    name: at("tokenizer.json"),
  });
}

/** The class, which in Node opens folders too. */
export const Tokenizer: typeof InMemory & { readonly open: typeof open } = Object.assign(InMemory, { open });
export type Tokenizer = InMemory;

/** The template in a file of its own goes before that of the configuration. */
async function readTemplate(folder: string): Promise<unknown> {
  const jinja = await readOptional(join(folder, "chat_template.jinja"));
  if (jinja !== undefined) return jinja;
  const path = join(folder, "chat_template.json");
  const data = await readObject(path);
  if (data && data.chat_template === undefined) fail("file", `${path}: expected the key chat_template`);
  return data?.chat_template;
}

async function readObject(path: string): Promise<Record<string, unknown> | undefined> {
  const text = await readOptional(path);
  if (text === undefined) return undefined;
  const data = parseJson(text, path);
  if (typeof data !== "object" || data === null || Array.isArray(data)) fail("file", `${path}: expected an object`);
  return data as Record<string, unknown>;
}

async function readOptional(path: string): Promise<string | undefined> {
  try {
    return await readText(path, maxConfigBytes);
  } catch (error) {
    if (((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === "ENOENT") return undefined;
    throw error;
  }
}

async function readText(path: string, limit: number): Promise<string> {
  const { handle, size } = await openRegular(path);
  try {
    if (size > limit) fail("file", `${path}: ${size} bytes; expected at most ${limit}`);
    const bytes = new Uint8Array(size);
    await readFully(handle, bytes, 0, path);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    return failFile(path, "is not valid UTF-8", error);
  } finally {
    await handle.close();
  }
}

/**
 * Writes a trained tokenizer's tokenizer.json and a tokenizer_config.json that transformers reads too; the first
 * special token, if any, ends texts (`eos_token`).
 *
 * @throws LayerwiseError "file" when the folder cannot be written to.
 */
export async function writeTokenizer(folder: string, file: TokenizerFile): Promise<void> {
  const eos = file.added_tokens.find(({ special }) => special)?.content;
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    clean_up_tokenization_spaces: false,
    ...(eos !== undefined && { eos_token: eos }),
  };
  const write = (name: string, data: object, indent?: number): Promise<void> =>
    writeAtomically(join(folder, name), (handle) =>
      writeFully(handle, new TextEncoder().encode(`${JSON.stringify(data, undefined, indent)}\n`)),
    );
  await write("tokenizer.json", file);
  await write("tokenizer_config.json", config, 2);
}

/** Ids in a private file of the system's temporary directory, for corpora larger than memory. */
export async function fileStore(): Promise<TokenStore> {
  const { folder, dispose } = await temporaryFolder();
  const path = join(folder, "tokens.bin");
  const handle = await openFile(path, "wx");
  let size = 0;
  return {
    append: async (bytes) => {
      await writeFully(handle, bytes).catch((error) => failFile(path, "the encoded text could not be kept", error));
      size += bytes.length;
    },
    finish: async () => {
      await handle.close();
      return fileSource([{ path, name: "the encoded text", size, found: false }], dispose);
    },
    discard: async () => {
      await handle.close().catch(() => undefined);
      await dispose();
    },
  };
}
