/** The largest resident size of this process so far, in bytes (Linux, else 0). */
import { readFileSync } from "node:fs";

/** Of this program alone: what `resourceUsage` gives is the parent's where that one was larger. */
export const peakMemory = () =>
  process.platform === "linux"
    ? Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024
    : 0;
