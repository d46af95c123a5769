/**
 * A folder that one process holds. The lock is a file that appears whole, by a hard link: `<process> <host> <start>
 * <unique>`. Whoever finds the holder dead claims the succession with a second link, named after the dead lock, which
 * one process alone can make; so of many that find it at once one goes on.
 */
import { createHash, randomUUID } from "node:crypto";
import { link, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { threadId } from "node:worker_threads";
import { failFile, writeDurably, writeFully } from "../data/disk.js";
import { fail } from "../tensor/errors.js";

/** What this thread holds or is asking for: a lock of its own that is not among these is one it could not remove. */
const ours = new Set<string>();

/** A lock in the making says whose it is by its name, too: a full disk may leave it empty. */
const ownPrefix = ".lock-of-";
const successorPrefix = ".lock-after-";

/**
 * Takes a folder for this process, so that two never train the same run; gives the function that lets it go.
 * A lock whose process on this machine is gone is taken over.
 *
 * @throws LayerwiseError "file" naming the process that holds it, or the system's reason (read-only folder, disk full).
 */
export async function lockRun(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, "lock");
  const [, start] = await statusOf(process.pid);
  const text = `${process.pid} ${hostname()} ${start} ${threadId}-${randomUUID()}\n`;
  const own = join(folder, `${ownPrefix}${encodeURIComponent(text)}`);
  ours.add(text);
  try {
    await writeDurably(own, (handle) => writeFully(handle, new TextEncoder().encode(text)));
    while (!(await take(folder, path, own, text)));
    await sweep(folder).catch(() => undefined);
  } catch (error) {
    ours.delete(text);
    return failFile(path, "the run could not be locked", error);
  } finally {
    await rm(own, { force: true }).catch(() => undefined);
  }
  return async () => {
    ours.delete(text);
    // A lock that somebody deleted may be another's by now. One that a failing disk keeps ends with this process.
    const stands = (await readLock(path).catch(() => undefined))?.text === text;
    if (stands) await rm(path, { force: true }).catch(() => undefined);
  };
}

/** Whether a process is training this run: one that holds its lock and, as far as can be seen from here, lives. */
export async function isTraining(folder: string): Promise<boolean> {
  const { last } = (await holderOf(folder, join(folder, "lock"))) ?? {};
  return last?.pid !== undefined && !(await isGone(last));
}

/** One attempt; false where the lock changed meanwhile and it is worth another. */
async function take(folder: string, path: string, own: string, text: string): Promise<boolean> {
  const found = await holderOf(folder, path);
  if (!found) return isMade(own, path, text);
  const { first, last } = found;
  if (!(await isGone(last))) {
    // A claim on a lock that is no more names somebody who is about to be refused.
    if (last !== first && (await readLock(path))?.text !== first.text) return false;
    const who = last.pid === undefined ? "another process" : `process ${last.pid} on ${last.host}`;
    fail("file", `${folder}: ${who} is training this run; wait for it, or delete ${path} if it is gone`);
  }
  const claim = successorOf(folder, last);
  if (!(await isMade(own, claim, text))) return false;
  // Successions are cleared after the lock is replaced: a claim on a lock that still stands is the only one.
  if ((await readLock(path))?.text !== first.text) {
    await rm(claim, { force: true });
    return false;
  }
  await rename(own, path);
  return true;
}

/** Successions to locks that are no more, and what processes left that died before they had the lock. */
async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const isLeft =
      name.startsWith(ownPrefix) && (await isGone(parse(decodeURIComponent(name.slice(ownPrefix.length)))));
    if (isLeft || name.startsWith(successorPrefix)) await rm(join(folder, name), { force: true });
  }
}

interface Holder {
  readonly text: string;
  /** Undefined for a lock that cannot be read. */
  readonly pid: string | undefined;
  readonly host: string | undefined;
  readonly start: string | undefined;
  readonly thread: string | undefined;
}

/** The lock, and the last that claimed its succession: a process may have died while it took over. */
async function holderOf(folder: string, path: string): Promise<{ first: Holder; last: Holder } | undefined> {
  const first = await readLock(path);
  if (!first) return undefined;
  let last = first;
  for (let next: Holder | undefined = first; next; next = await readLock(successorOf(folder, last))) last = next;
  return { first, last };
}

async function readLock(path: string): Promise<Holder | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) =>
    error.code === "ENOENT" ? undefined : Promise.reject(error),
  );
  return text === undefined ? undefined : parse(text);
}

function parse(text: string): Holder {
  const [, pid, host, start, thread] = /^(\d+) (\S+)(?: (\d+) (\d+)?\S+)?\n$/.exec(text) ?? [];
  return { text, pid, host, start, thread };
}

const successorOf = (folder: string, { text }: Holder): string =>
  join(folder, `${successorPrefix}${createHash("sha256").update(text).digest("hex").slice(0, 32)}`);

/** `path` as a second name of `own`: whole or not at all, and for one process only. */
async function isMade(own: string, path: string, text: string): Promise<boolean> {
  try {
    await link(own, path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return false;
    if (code === "EPERM" || code === "ENOTSUP" || code === "EOPNOTSUPP" || code === "ENOSYS")
      return isWritten(path, text);
    throw error;
  }
}

/** For file systems without hard links (FAT): exclusive too, but a reader may find it empty for a moment. */
async function isWritten(path: string, text: string): Promise<boolean> {
  try {
    const handle = await open(path, "wx");
    await handle.writeFile(text).finally(() => handle.close());
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function isGone({ text, pid, host, start, thread }: Holder): Promise<boolean> {
  if (pid === undefined || host !== hostname()) return false;
  if (!isAlive(Number(pid))) return true;
  const [state, now] = await statusOf(Number(pid));
  // Dead but not yet waited for; or the number is another process's by now, the machine or container restarted.
  if (state === "Z" || state === "X" || (isKnown(start) && isKnown(now) && start !== now)) return true;
  return Number(pid) === process.pid && thread === String(threadId) && !ours.has(text);
}

const isKnown = (start: string | undefined): boolean => start !== undefined && start !== "0";

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there, but somebody else's.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** A process's state and when it began, in the kernel's ticks; "0" where that cannot be seen (on other systems than Linux). */
async function statusOf(pid: number): Promise<readonly [state: string, start: string]> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // Fields 3 and 22; the second, a name in parentheses, may hold anything.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return [fields[0] ?? "", fields[19] ?? "0"];
}
