import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { crc32c, type EventContent, encodeEvent, frame } from "../../src/train/event-record.js";
import type { StepEvent, TrainEvent } from "../../src/train/events.js";
import { openEventFile } from "../../src/train/tensorboard.js";
import { readEvents } from "../support/event-file.js";

let root = "";
let folders = 0;
const folder = (): string => join(root, String(folders++));
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "tensorboard-"));
});
afterAll(() => rm(root, { recursive: true }));

const step = (n: number, loss = 1 / n): StepEvent => ({
  kind: "step",
  step: n,
  steps: 9,
  loss,
  learningRate: 0.25,
  gradientNorm: 2,
  seconds: 1,
  tokensPerSecond: 64,
  remaining: 0,
});

async function write(where: string, events: readonly TrainEvent[], seconds = 1.7e9): Promise<string> {
  let time = seconds * 1000;
  const file = await openEventFile(where, () => (time += 500));
  for (const event of events) await file.record(event);
  await file.close();
  return file.path;
}

describe("bytes", () => {
  test.each([
    ["", 0],
    ["123456789", 0xe3069283],
    ["\0".repeat(32), 0x8a9136aa],
  ])("crc32c(%j), as RFC 3720 gives it", (text, crc) => {
    expect(crc32c(new TextEncoder().encode(text))).toBe(crc);
  });

  test("equal those that TensorBoard's own package writes for the same events", async () => {
    const events: [number, number, EventContent][] = [
      [1700000000.25, 0, { fileVersion: "brain.Event:2" }],
      [1700000001.5, 1, { start: true }],
      [1700000001.5, 1, scalars(5.5, 0, 1.25)],
      [1700000002.5, 300, scalars(Number.NaN, 1e-3, Number.POSITIVE_INFINITY)],
      [1700000003.75, 5_000_000_000, { scalars: [["eval/loss", 2.1]] }],
    ];
    const written = Buffer.concat(events.map((event) => frame(encodeEvent(...event))));
    const golden = await readFile(join(import.meta.dirname, "../golden/tensorboard/events"));
    expect(written.toString("hex")).toBe(golden.toString("hex"));
  });

  test("numbers that float32 cannot hold are infinite", () => {
    const [event] = readEvents(frame(encodeEvent(1, 1, { scalars: [["a", 1e39]] })));
    expect(event?.scalars).toEqual({ a: Number.POSITIVE_INFINITY });
  });
});

const scalars = (loss: number, rate: number, norm: number): EventContent => ({
  scalars: [
    ["train/loss", loss],
    ["train/learning_rate", rate],
    ["train/grad_norm", norm],
  ],
});

describe("an event file", () => {
  test("has the curves of a run over steps and wall time, and starts a session at its first step", async () => {
    const path = await write(folder(), [
      { kind: "warning", step: 0, message: "not drawn" },
      step(1),
      step(2),
      { kind: "evaluation", step: 2, loss: 3, bitsPerByte: 1.5, seconds: 1 },
      { kind: "checkpoint", step: 2, path: "not drawn" },
      { kind: "done", step: 2, reason: "finished", seconds: 1 },
    ]);
    const train = (loss: number) => ({ "train/loss": loss, "train/learning_rate": 0.25, "train/grad_norm": 2 });
    expect(readEvents(await readFile(path))).toEqual([
      { wallTime: 1700000001, step: 0, fileVersion: "brain.Event:2" },
      { wallTime: 1700000001.5, step: 1, session: 1 },
      { wallTime: 1700000002, step: 1, scalars: train(1) },
      { wallTime: 1700000002.5, step: 2, scalars: train(0.5) },
      { wallTime: 1700000003, step: 2, scalars: { "eval/loss": 3 } },
    ]);
  });

  test("can be read while it is written, and up to a record that a crash tore", async () => {
    const file = await openEventFile(folder());
    await file.record(step(1));
    await file.record(step(2));
    const bytes = await readFile(file.path);
    expect(readEvents(bytes).map((event) => event.step)).toEqual([0, 1, 1, 2]);
    expect(readEvents(bytes.subarray(0, -3)).map((event) => event.step)).toEqual([0, 1, 1]);
    await file.close();
  });

  test("a run that goes on begins a file of its own that reads later, even when the clock went back", async () => {
    const where = folder();
    const paths = [
      await write(where, [step(1), step(2), step(3)]),
      await write(where, [step(3)]),
      await write(where, [step(4)], 1.6e9),
    ];
    expect((await readdir(where)).sort().map((name) => join(where, name))).toEqual(paths);
    expect(paths.map((path) => /tfevents\.(\d+)\.[\w.-]+$/.exec(path)?.[1])).toEqual([
      "1700000000",
      "1700000001",
      "1700000002",
    ]);
    expect(readEvents(await readFile(paths[1] as string))[1]).toMatchObject({ step: 3, session: 1 });
  });

  test("a folder that cannot be made is an error that names it", async () => {
    const file = join(root, "file");
    await writeFile(file, "");
    await expect(openEventFile(join(file, "logs"))).rejects.toMatchObject({
      code: "file",
      message: expect.stringContaining(join(file, "logs")),
    });
  });
});
