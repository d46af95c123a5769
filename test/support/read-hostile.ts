/** One hostile case: its files written, read, and what came of it; by itself a process that reads the greedy ones. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LayerwiseError } from "../../src/tensor/errors.js";
import { type HostileCase, hostileCases } from "./hostile-cases.js";

export interface Outcome {
  readonly isTyped: boolean;
  readonly code: string;
  readonly message: string;
  readonly path: string;
  /** Bytes of the file, and those by which the process grew while it was read: resident, and in arrays not yet freed. */
  readonly size: number;
  readonly grown: number;
}

export async function readHostile({ file, named = file, bytes, beside, read }: HostileCase): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), "hostile-"));
  const path = join(folder, file);
  try {
    let content: Uint8Array | string | undefined = bytes();
    const size = content.length;
    if (file !== ".") await writeFile(path, content);
    content = undefined;
    await beside?.(folder);
    const before = { resident: process.resourceUsage().maxRSS * 1024, arrays: process.memoryUsage().arrayBuffers };
    const error: unknown = await Promise.resolve()
      .then(() => read(path))
      .then(
        () => "it was read",
        (reason: unknown) => reason,
      );
    const resident = process.resourceUsage().maxRSS * 1024 - before.resident;
    const grown = Math.max(resident, process.memoryUsage().arrayBuffers - before.arrays);
    const isTyped = error instanceof LayerwiseError;
    return { isTyped, code: isTyped ? error.code : "", message: String(error), path: join(folder, named), size, grown };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

if (process.send && process.argv.includes("--greedy"))
  for (const one of hostileCases.filter(({ isGreedy }) => isGreedy)) {
    process.send({ begins: one.name });
    process.send({ name: one.name, outcome: await readHostile(one) });
  }
