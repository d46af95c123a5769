import type { FileHandle } from "node:fs/promises";

type Disk = typeof import("node:fs/promises");

/** Counts the calls that change the disk and lets one, or every one from it on, fail. For `vi.mock`. */
export const faults = {
  calls: 0,
  failAt: Number.POSITIVE_INFINITY,
  /** `true`: the process is as good as dead from there on. `false`: one call fails, the next work again. */
  stayDown: false,
  reset(failAt = Number.POSITIVE_INFINITY, stayDown = false): void {
    Object.assign(faults, { calls: 0, failAt, stayDown });
  },
};

function strike(what: string): void {
  faults.calls++;
  if (faults.calls === faults.failAt || (faults.stayDown && faults.calls > faults.failAt))
    throw Object.assign(new Error(`ENOSPC: no space left on device, ${what}`), { code: "ENOSPC" });
}

const failing =
  <Args extends unknown[], R>(what: string, call: (...args: Args) => Promise<R>) =>
  async (...args: Args): Promise<R> => {
    strike(what);
    return call(...args);
  };

/** `node:fs/promises` whose writing calls may fail; a failing write first writes half, as a full disk does. */
export function failingDisk(disk: Disk): Partial<Disk> {
  const open: Disk["open"] = async (path, flags, mode) => {
    const writes = typeof flags === "string" && flags.startsWith("w");
    if (writes) strike("open");
    const handle = await disk.open(path, flags, mode);
    const sync = handle.sync.bind(handle);
    const write = handle.write.bind(handle) as (bytes: Uint8Array, offset: number, length: number) => Promise<unknown>;
    const halfThenFail = async (bytes: Uint8Array, offset: number, length: number): Promise<unknown> => {
      try {
        strike("write");
      } catch (error) {
        await write(bytes, offset, length >> 1);
        throw error;
      }
      return write(bytes, offset, length);
    };
    handle.write = halfThenFail as FileHandle["write"];
    handle.sync = failing("fsync", () => sync());
    return handle;
  };
  return {
    ...disk,
    open,
    rename: failing("rename", disk.rename),
    mkdir: failing("mkdir", disk.mkdir as (...args: unknown[]) => Promise<string | undefined>) as Disk["mkdir"],
    rm: failing("rm", disk.rm),
  };
}
