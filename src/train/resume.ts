/** A running training as a checkpoint, and back: bit for bit, or said where it cannot be. */
import { mkdir } from "node:fs/promises";
import { failFile } from "../data/disk.js";
import { fail, formatShape, type NDArray, sameShape, type Variable } from "../tensor/index.js";
import { latestCheckpoint, loadCheckpoint, saveCheckpoint } from "./checkpoint.js";
import type { FitOptions, Trainer } from "./fit.js";
import type { SavedScale } from "./loss-scale.js";
import { lockRun } from "./run-lock.js";

export interface Saved {
  /** Updates done. */
  readonly step: number;
  /** Batches read: where the data goes on. */
  readonly batch: number;
}

const values = async (variables: Iterable<readonly [string, Variable]>): Promise<Map<string, NDArray>> =>
  new Map(await Promise.all(Array.from(variables, async ([name, variable]) => [name, await variable.data()] as const)));

const modelState = ({ model, keepVariable = () => true }: FitOptions): Map<string, Variable> =>
  new Map([...model.namedVariables()].filter(([path]) => keepVariable(path)));

/** Makes the folder of checkpoints and keeps other trainings out of it; gives the function that lets it go. */
export async function holdCheckpoints(folder: string): Promise<() => Promise<void>> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    failFile(folder, "the folder of checkpoints could not be made", error);
  }
  return lockRun(folder);
}

/** Writes a checkpoint; gives its folder. */
export async function save(
  { options, optimizer, update, gather, lossScale }: Trainer,
  folder: string,
  { step, batch }: Saved,
  environment: Record<string, unknown>,
): Promise<string> {
  return saveCheckpoint(
    folder,
    {
      step,
      model: await values(modelState(options)),
      optimizer: await values(optimizer.state()),
      // Positions of the random streams, so that dropout goes on where it stopped.
      state: {
        batch,
        randomPositions: { update: update.step, gather: gather?.step ?? 0 },
        seed: options.seed ?? 0,
        ...(lossScale && { lossScale: lossScale.saved }),
        environment,
        notes: options.notes ?? {},
      },
    },
    options.keep === undefined ? {} : { keep: options.keep },
  );
}

/** Goes on from the newest whole checkpoint; undefined where there is none. Throws where it is of another model. */
export async function restore(
  trainer: Trainer,
  folder: string,
  environment: Record<string, unknown>,
  warn: (message: string) => void,
): Promise<Saved | undefined> {
  const path = await latestCheckpoint(folder, warn);
  if (path === undefined) return undefined;
  const { step, model, optimizer, state } = await loadCheckpoint(path);
  const { options, update, gather } = trainer;
  load(`${path}/model.safetensors`, modelState(options), model);
  load(`${path}/optimizer.safetensors`, trainer.optimizer.state(), optimizer);
  const {
    batch,
    randomPositions,
    environment: recorded,
    seed,
    lossScale,
  } = state as {
    batch: number;
    randomPositions: { update: number; gather: number };
    environment: Record<string, unknown>;
    seed: number;
    lossScale?: SavedScale;
  };
  update.step = randomPositions.update;
  if (gather) gather.step = randomPositions.gather;
  if (lossScale) trainer.lossScale?.restore(lossScale);
  const before: Record<string, unknown> = { precision: "float32", ...recorded };
  const changed = Object.keys(environment).filter((key) => environment[key] !== before[key]);
  if (changed.length > 0)
    warn(
      `resumed with ${changed.map((key) => `${key} ${String(environment[key])} instead of ${String(before[key])}`).join(", ")}: the run goes on, but not bit for bit`,
    );
  if (seed !== (options.seed ?? 0))
    warn(`resumed with seed ${options.seed ?? 0} instead of ${seed}: random numbers differ from here on`);
  return { step, batch };
}

function load(file: string, variables: ReadonlyMap<string, Variable>, stored: ReadonlyMap<string, NDArray>): void {
  const missing = [...variables.keys()].filter((name) => !stored.has(name));
  const extra = [...stored.keys()].filter((name) => !variables.has(name));
  if (missing.length + extra.length > 0)
    fail(
      "file",
      `${file} is of another model: it lacks ${list(missing)} and has ${list(extra)} besides; resume with the configuration of the run`,
    );
  for (const [name, variable] of variables) {
    const value = stored.get(name) as NDArray;
    if (!sameShape(value.shape, variable.shape))
      fail(
        "file",
        `${file}: "${name}" has shape ${formatShape(value.shape)}, this model expects ${formatShape(variable.shape)}; resume with the configuration of the run`,
      );
  }
  for (const [name, variable] of variables) variable.set(stored.get(name) as NDArray);
}

const list = (names: readonly string[]): string =>
  names.length === 0 ? "nothing" : `${names.slice(0, 3).join(", ")}${names.length > 3 ? `, … (${names.length})` : ""}`;
