/** What `layerwise inspect` looks at: a model with a text, or an ONNX file with inputs. */
import { existsSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { openCheckpoint } from "../applications/open-checkpoint.js";
import { failFile } from "../data/disk.js";
import { Tokenizer } from "../data/tokenizer-files.js";
import type { GPT } from "../models/index.js";
import type { CompileOptions } from "../runtime/index.js";
import { fail } from "../tensor/errors.js";
import { NDArray } from "../tensor/index.js";

export interface Wanted {
  readonly text?: string;
  readonly file?: string;
  readonly tokens?: string[];
}

export interface OpenedModel {
  readonly model: GPT;
  /** int32 [1, tokens], where an input was given. */
  readonly input: NDArray | undefined;
  readonly tokens: readonly string[] | undefined;
  readonly say: (id: number) => string;
  /** How many tokens of the input were left out, as they exceed the context. */
  readonly left: number;
}

export const isFile = (path: string): boolean => existsSync(path) && statSync(path).isFile();

/** A run's folder holds the checkpoint or the adapter that it left. */
function modelFolder(path: string): string {
  if (!existsSync(path)) return fail("file", `${path}: there is no such file or folder`);
  if (existsSync(join(path, "config.json")) || existsSync(join(path, "adapter_config.json"))) return path;
  const found = ["model", "adapter"].map((name) => join(path, name)).find((inner) => existsSync(inner));
  if (found) return found;
  return existsSync(join(path, "config.yaml"))
    ? fail("file", `${path}: this run has left no model yet; finish it with layerwise train … --resume`)
    : fail(
        "file",
        `${path}: expected a checkpoint, an adapter, a run's folder or an ONNX file; config.json is missing`,
      );
}

export async function openModel(path: string, wanted: Wanted, engine: CompileOptions): Promise<OpenedModel> {
  const given = [wanted.text, wanted.file, wanted.tokens].filter((one) => one !== undefined);
  if (given.length > 1) fail("argument", "inspect: give one of --text, --file and --tokens");
  const { model, tokenizer: folder } = await openCheckpoint(modelFolder(path), engine);
  const isText = wanted.text !== undefined || wanted.file !== undefined;
  const tokenizer = isText || existsSync(join(folder, "tokenizer.json")) ? await Tokenizer.open(folder) : undefined;
  const ids = given.length === 0 ? undefined : await idsOf(wanted, tokenizer, model);
  const kept = ids?.slice(0, model.config.context);
  const say = (id: number): string => (tokenizer ? tokenizer.decode([id]) : String(id));
  return {
    model,
    input: kept && NDArray.from(kept, "int32", [1, kept.length]),
    tokens: kept?.map(say),
    say,
    left: (ids?.length ?? 0) - (kept?.length ?? 0),
  };
}

async function idsOf({ text, file, tokens }: Wanted, tokenizer: Tokenizer | undefined, model: GPT): Promise<number[]> {
  const ids = tokens
    ? tokens
        .flatMap((part) => part.split(","))
        .filter((part) => part !== "")
        .map(Number)
    : (tokenizer?.encode(text ?? (await contentOf(file ?? ""))) ?? []);
  if (ids.length === 0) fail("argument", "inspect: the input has no tokens");
  const { vocabulary } = model.config;
  for (const id of ids)
    if (!Number.isInteger(id) || id < 0 || id >= vocabulary)
      fail("argument", `inspect: expected tokens in 0..${vocabulary - 1}, got ${id}`);
  return ids;
}

const contentOf = (path: string): Promise<string> =>
  readFile(path, "utf8").catch((error) => failFile(path, "the text could not be read", error));
