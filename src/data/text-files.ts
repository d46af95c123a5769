import { join } from "node:path";
import { fail } from "../tensor/errors.js";
import { openRegular } from "./disk.js";
import { fileSource, type SourceFile } from "./file-source.js";
import { gunzipFile, temporaryFolder } from "./gzip-file.js";

import { type Listed, listFiles } from "./list-files.js";
import type { ByteSource, Span } from "./source.js";

import { text as inMemory, type TextData, type TextOptions, textData } from "./text.js";
import { textPieces } from "./token-store.js";
import { fileStore, Tokenizer } from "./tokenizer-files.js";

/**
 * Opens text files: one path, a folder (all files in it, recursively, hidden ones left out), a glob such as
 * "books/*.txt", or a list of these. Every file is a document unless `separator` cuts it; order is by name.
 *
 *   const data = await text.open("corpus.txt", { tokens: "bytes", context: 256 });
 *
 * `tokens` may also be the folder of a tokenizer (see `Tokenizer.open`).
 *
 * Nothing is loaded: windows are read by position when asked for (byte tokens need no pass at all; characters one
 * streaming pass; a tokenizer one pass that keeps the ids, 2 or 4 bytes each, in a private temporary file). Each .gz is unpacked once, bounded, to a private folder of the system's temporary directory, which
 * `close()` or the end of the process removes. Links found inside folders and patterns are not followed.
 *
 * @throws LayerwiseError "file" for a missing or unreadable file, invalid UTF-8 with tokens other than "bytes" (file and
 * byte are named), an empty corpus or one shorter than a window, a gzip bomb; "argument" for bad options.
 */
async function open(paths: string | readonly string[], options: TextFileOptions): Promise<TextData> {
  const tokens = await openTokens(options.tokens);
  const { source, spans } = await openFiles(paths);
  try {
    return await textData(source, spans, { ...options, tokens }, fileStore);
  } catch (error) {
    await source.close();
    throw error;
  }
}

interface TextFiles {
  readonly source: ByteSource;
  readonly spans: readonly Span[];
}

async function openFiles(paths: string | readonly string[]): Promise<TextFiles> {
  const listed = await listFiles(typeof paths === "string" ? [paths] : paths);
  const { files, dispose } = await unpack(listed);
  if (files.length === 0) {
    await dispose();
    fail("file", `text: no files in ${JSON.stringify(paths)}`);
  }
  const spans: Span[] = [];
  let position = 0;
  for (const { size } of files) {
    spans.push({ start: position, end: position + size });
    position += size;
  }
  return { source: fileSource(files, dispose), spans };
}

/**
 * The texts of files, piece by piece, as `trainBytePair` takes them; paths as for `text.open`. Files close at the end.
 *
 * @throws LayerwiseError "file" for a file that is missing, unreadable or not UTF-8.
 */
export async function openPieces(
  paths: string | readonly string[],
): Promise<{ readonly bytes: number; readonly pieces: AsyncIterable<string> }> {
  const { source, spans } = await openFiles(paths);
  return { bytes: source.size, pieces: piecesOf(source, spans) };
}

async function* piecesOf(source: ByteSource, spans: readonly Span[]): AsyncGenerator<string> {
  try {
    for (const span of spans) yield* textPieces(source, span, []);
  } finally {
    await source.close();
  }
}

/** As in memory, and `tokens` may be the path of a folder with a tokenizer.json. */
export interface TextFileOptions extends Omit<TextOptions, "tokens"> {
  tokens: TextOptions["tokens"] | (string & {});
}

async function openTokens(tokens: TextFileOptions["tokens"]): Promise<TextOptions["tokens"]> {
  if (typeof tokens !== "string" || tokens === "bytes" || tokens === "characters")
    return tokens as TextOptions["tokens"];
  return Tokenizer.open(tokens).catch((cause) =>
    fail(
      "file",
      `text: tokens is ${JSON.stringify(tokens)}, which is neither "bytes", "characters" nor a tokenizer's folder: ` +
        (cause as Error).message,
      { cause },
    ),
  );
}

export const text = { ...inMemory, open };
export type { BatchOptions, SplitName, TextBatch, TextData, TextOptions } from "./text.js";

/** Sizes of plain files; .gz files unpacked. */
async function unpack(listed: readonly Listed[]): Promise<{ files: SourceFile[]; dispose: () => Promise<void> }> {
  const packed = listed.some(({ path }) => path.endsWith(".gz"));
  const { folder, dispose } = packed ? await temporaryFolder() : { folder: "", dispose: async () => undefined };
  try {
    const files: SourceFile[] = [];
    for (const { path, found } of listed) {
      if (path.endsWith(".gz")) {
        const target = join(folder, `${files.length}.txt`);
        const size = await gunzipFile(path, target, !found);
        files.push({ path: target, name: `${path} (unpacked)`, size, found: false });
      } else files.push({ path, name: path, size: await sizeOf(path, !found), found });
    }
    return { files, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Opened rather than measured, so that a file that cannot be read is told of now, not in the middle of a run. */
async function sizeOf(path: string, follow: boolean): Promise<number> {
  const { handle, size } = await openRegular(path, { follow });
  await handle.close();
  return size;
}
