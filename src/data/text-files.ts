import { join } from "node:path";
import { fail } from "../tensor/errors.js";
import { openRegular } from "./disk.js";
import { fileSource, type SourceFile } from "./file-source.js";
import { gunzipFile, temporaryFolder } from "./gzip-file.js";
import { type Listed, listFiles } from "./list-files.js";
import type { Span } from "./source.js";
import { text as inMemory, type TextData, type TextOptions, textData } from "./text.js";

/**
 * Opens text files: one path, a folder (all files in it, recursively, hidden ones left out), a glob such as
 * "books/*.txt", or a list of these. Every file is a document unless `separator` cuts it; order is by name.
 *
 *   const data = await text.open("corpus.txt", { tokens: "bytes", context: 256 });
 *
 * Nothing is loaded: windows are read by position when asked for (byte tokens need no pass at all; characters one
 * streaming pass). Each .gz is unpacked once, bounded, to a private folder of the system's temporary directory, which
 * `close()` or the end of the process removes. Links found inside folders and patterns are not followed.
 *
 * @throws LayerwiseError "file" for a missing or unreadable file, invalid UTF-8 with tokens: "characters" (file and
 * byte are named), an empty corpus or one shorter than a window, a gzip bomb; "argument" for bad options.
 */
async function open(paths: string | readonly string[], options: TextOptions): Promise<TextData> {
  const listed = await listFiles(typeof paths === "string" ? [paths] : paths);
  const { files, dispose } = await unpack(listed);
  const source = fileSource(files, dispose);
  const spans: Span[] = [];
  let position = 0;
  for (const { size } of files) {
    spans.push({ start: position, end: position + size });
    position += size;
  }
  try {
    if (files.length === 0) fail("file", `text: no files in ${JSON.stringify(paths)}`);
    return await textData(source, spans, options);
  } catch (error) {
    await source.close();
    throw error;
  }
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
