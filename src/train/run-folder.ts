import { randomBytes } from "node:crypto";
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { failFile, writeAtomically, writeFully } from "../data/disk.js";
import { fail } from "../tensor/errors.js";

/** A run's own folder: its configuration, checkpoints, report and TensorBoard's files. */
export interface RunFolder {
  readonly id: string;
  readonly path: string;
  readonly config: string;
  readonly checkpoints: string;
  readonly report: string;
  readonly tensorboard: string;
}

const idPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/**
 * Makes a new run folder below `root`: `<date>-<time>-<random>`, so that ids sort by age and never meet.
 *
 * @throws LayerwiseError "file" when the folder cannot be made.
 */
export async function createRun(root: string, config: string): Promise<RunFolder> {
  const id = `${new Date().toISOString().slice(0, 19).replace("T", "-").replaceAll(":", "")}-${randomBytes(3).toString("hex")}`;
  const run = places(root, id);
  try {
    await mkdir(root, { recursive: true });
    // Not recursive: an id that exists already is an error, never somebody else's run.
    await mkdir(run.path);
    await mkdir(run.checkpoints);
  } catch (error) {
    return failFile(run.path, "the run folder could not be made", error);
  }
  await writeAtomically(run.config, (handle) => writeFully(handle, new TextEncoder().encode(config)));
  return run;
}

/**
 * The folder of an existing run.
 *
 * @throws LayerwiseError "argument" for an id that is not a plain name, "file" when there is no such run.
 */
export async function openRun(root: string, id: string): Promise<RunFolder> {
  if (!idPattern.test(id))
    fail("argument", `run ${JSON.stringify(id)}: expected a run's id, e.g. 2026-01-31-120000-a1b2c3`);
  const run = places(root, id);
  const found = await stat(run.path).catch(() => undefined);
  if (!found?.isDirectory()) fail("file", `${run.path}: there is no such run`);
  return run;
}

function places(root: string, id: string): RunFolder {
  const path = join(root, id);
  return {
    id,
    path,
    config: join(path, "config.yaml"),
    checkpoints: join(path, "checkpoints"),
    report: join(path, "report.html"),
    tensorboard: join(path, "tensorboard"),
  };
}
