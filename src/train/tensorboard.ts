import { type FileHandle, mkdir, open, readdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { failFile, writeFully } from "../data/disk.js";
import { type EventContent, encodeEvent, frame } from "./event-record.js";
import type { TrainEvent } from "./events.js";

export interface EventFile {
  readonly path: string;
  /** Writes what TensorBoard draws of an event, at once; other events are passed over. */
  record(event: TrainEvent): Promise<void>;
  close(): Promise<void>;
}

const namePattern = /^events\.out\.tfevents\.(\d+)\./;

/**
 * Begins a new TensorBoard event file in `folder`, which is made if need be. Its curves are `train/loss`,
 * `train/learning_rate`, `train/grad_norm` and `eval/loss`, over steps and wall time.
 *
 * Each event is handed to the system with one write, so a crash loses none that was written and leaves at most one torn
 * record, where readers stop. A run that goes on begins another file, which starts with the mark of a new session at its
 * first step: TensorBoard then forgets what the earlier files say from there on. Files are named
 * `events.out.tfevents.<time>.<host>`; as TensorBoard reads them in the order of their names, the time is always later
 * than that of the files which are there, whatever the clock says.
 *
 * @throws LayerwiseError "file" when the folder or the file cannot be written.
 */
export async function openEventFile(folder: string, now: () => number = Date.now): Promise<EventFile> {
  const { path, handle } = await create(folder, Math.floor(now() / 1000)).catch((error) =>
    failFile(folder, "TensorBoard's file could not be made", error),
  );
  const write = async (step: number, content: EventContent): Promise<void> => {
    const record = frame(encodeEvent(now() / 1000, step, content));
    await writeFully(handle, record).catch((error) => failFile(path, "could not be written", error));
  };
  await write(0, { fileVersion: "brain.Event:2" });
  let hasStarted = false;
  return {
    path,
    async record(event) {
      const scalars = scalarsOf(event);
      if (scalars.length === 0) return;
      if (!hasStarted) await write(event.step, { start: true });
      hasStarted = true;
      await write(event.step, { scalars });
    },
    close: () => handle.close(),
  };
}

async function create(folder: string, seconds: number): Promise<{ path: string; handle: FileHandle }> {
  await mkdir(folder, { recursive: true });
  const taken = (await readdir(folder)).map((name) => Number(namePattern.exec(name)?.[1] ?? -1));
  const time = String(Math.max(seconds, ...taken.map((t) => t + 1))).padStart(10, "0");
  const path = join(folder, `events.out.tfevents.${time}.${hostname().replace(/[^A-Za-z0-9.-]/g, "-") || "host"}`);
  return { path, handle: await open(path, "ax") };
}

function scalarsOf(event: TrainEvent): (readonly [string, number])[] {
  if (event.kind === "evaluation") return [["eval/loss", event.loss]];
  if (event.kind !== "step") return [];
  return [
    ["train/loss", event.loss],
    ["train/learning_rate", event.learningRate],
    ["train/grad_norm", event.gradientNorm],
  ];
}
