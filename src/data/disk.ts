import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fail, LayerwiseError } from "../tensor/errors.js";

/** What every file reader and writer here needs: whole reads, whole writes, and a rename nobody sees half done. */

/** A system call takes at most 2 GiB; smaller pieces also keep other work on the thread pool moving. */
const pieceBytes = 64 * 1024 * 1024;

/** The system's own words for a failed call ("ENOSPC: no space left on device"), for the end of a sentence. */
export const reason = (error: unknown): string =>
  error instanceof Error ? error.message.replace(/, \w+( '.*)?$/s, "") : String(error);

/** `error` as a typed error that names the file; errors that already do are passed on. */
export function failFile(path: string, problem: string, error: unknown): never {
  if (error instanceof LayerwiseError) throw error;
  return fail("file", `${path}: ${problem} (${reason(error)})`, { cause: error });
}

export interface RegularFile {
  readonly handle: FileHandle;
  readonly size: number;
  readonly links: number;
}

/**
 * Opens a regular file to read. A pipe or device is refused without blocking on it, a folder too; with
 * `follow: false` so is a symbolic link.
 *
 * @throws LayerwiseError "file" when it is missing, unreadable or not a regular file.
 */
export async function openRegular(path: string, options: { follow?: boolean } = {}): Promise<RegularFile> {
  const noFollow = options.follow === false ? constants.O_NOFOLLOW : 0;
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | noFollow);
  } catch (error) {
    return failFile(path, "cannot be opened; expected a readable file", error);
  }
  const status = await handle.stat();
  if (status.isFile()) return { handle, size: status.size, links: status.nlink };
  await handle.close();
  return fail(
    "file",
    `${path}: expected a regular file, got ${status.isDirectory() ? "a folder" : "a pipe or device"}`,
  );
}

/** Fills `target` from `position`; a file that ends early (changed since it was measured) is an error. */
export async function readFully(handle: FileHandle, target: Uint8Array, position: number, path: string): Promise<void> {
  let done = 0;
  while (done < target.length) {
    const length = Math.min(pieceBytes, target.length - done);
    const { bytesRead } = await handle.read(target, done, length, position + done);
    if (bytesRead === 0)
      fail(
        "file",
        `${path}: ends at byte ${position + done}, expected ${position + target.length}; was it cut meanwhile?`,
      );
    done += bytesRead;
  }
}

/** Writes all of `bytes` at the file's current end. */
export async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.length)
    done += (await handle.write(bytes, done, Math.min(pieceBytes, bytes.length - done))).bytesWritten;
}

/** Makes renames and new names in a folder last through a power cut. Windows has no such call and needs none. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Creates `path` (which must not exist), lets `write` fill it, and returns once its bytes are on the disk. */
export async function writeDurably(path: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const handle = await open(path, "wx");
  try {
    await write(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Replaces `path` in one step: a temporary file beside it is written, flushed and renamed over it. Whatever fails, the
 * old file stays whole; a crash leaves at most a hidden `.name.<id>.tmp`.
 *
 * @throws LayerwiseError "file" naming the file and the system's reason (disk full, read-only folder, …).
 */
export async function writeAtomically(path: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);
  try {
    await writeDurably(temporary, write);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    failFile(path, "could not be written; what was there before is untouched", error);
  }
}
