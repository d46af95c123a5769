import type { FileHandle } from "node:fs/promises";
import { openRegular, readFully } from "./disk.js";
import { Recent } from "./recent.js";
import { type ByteSource, findSpan } from "./source.js";

export interface SourceFile {
  /** Where its bytes are; for a .gz, where they were unpacked. */
  readonly path: string;
  /** What the user knows it as. */
  readonly name: string;
  readonly size: number;
  /** Found by walking a folder or a pattern, not named by the user: a link is then not followed. */
  readonly found: boolean;
}

const pageBytes = 64 * 1024;
const pagesKept = 256; // 16 MiB
const handlesKept = 32;

/**
 * Files laid end to end, read by position through a small cache of pages and open handles: memory stays the same
 * whatever the corpus weighs.
 */
export function fileSource(files: readonly SourceFile[], dispose: () => Promise<void>): ByteSource {
  const offsets = new Float64Array(files.length + 1);
  files.forEach(({ size }, i) => {
    offsets[i + 1] = (offsets[i] as number) + size;
  });
  const total = offsets[files.length] as number;
  const handles = new Recent<number, FileHandle>(
    handlesKept,
    async (i) => {
      const { path, found } = files[i] as SourceFile;
      return (await openRegular(path, { follow: !found })).handle;
    },
    (handle) => handle.close(),
  );

  const readPage = async (page: number): Promise<Uint8Array> => {
    const start = page * pageBytes;
    const bytes = new Uint8Array(Math.min(pageBytes, total - start));
    let done = 0;
    for (let i = findSpan(offsets, start); done < bytes.length; i++) {
      const from = start + done - (offsets[i] as number);
      const length = Math.min(bytes.length - done, (offsets[i + 1] as number) - start - done);
      if (length > 0)
        await readFully(await handles.get(i), bytes.subarray(done, done + length), from, (files[i] as SourceFile).name);
      done += length;
    }
    return bytes;
  };
  const pages = new Recent<number, Uint8Array>(pagesKept, readPage);

  return {
    size: total,
    async read(start, end) {
      const result = new Uint8Array(end - start);
      for (let page = Math.floor(start / pageBytes); page * pageBytes < end; page++) {
        const bytes = await pages.get(page);
        const from = Math.max(start, page * pageBytes);
        const to = Math.min(end, (page + 1) * pageBytes);
        result.set(bytes.subarray(from - page * pageBytes, to - page * pageBytes), from - start);
      }
      return result;
    },
    locate(position) {
      const i = findSpan(offsets, position);
      return `${files[i]?.name}, byte ${position - (offsets[i] as number)}`;
    },
    async close() {
      await pages.clear();
      await handles.clear();
      await dispose();
    },
  };
}
