/** A training killed with SIGKILL at any moment goes on from its folder as if it had not been. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { fit as train } from "../../src/train/fit.js";
import { bundle, ended, start } from "../support/child.js";
import { bitsOf, smallModel, smallTraining } from "../support/small-training.js";

const kills = 32;
const steps = 40;
/** At the same time. */
const lanes = 2;

let [root, script] = ["", ""];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "layerwise-killed-"));
  script = await bundle(join(import.meta.dirname, "../support/train-child.ts"));
});
afterAll(() => rm(root, { recursive: true }));

interface Told {
  readonly kind?: string;
  readonly step?: number;
  readonly bits?: string;
  readonly error?: string;
}

/** One life of the training: killed a moment after it has told so many events, if it has not ended by then. */
async function life(
  folder: string,
  events: number,
  moment: number,
): Promise<{ told: readonly Told[]; killed: boolean }> {
  const child = start(script, [folder, String(steps)]);
  const told: Told[] = [];
  const strike = async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, moment));
    child.kill("SIGKILL");
  };
  child.on("message", (message: Told) => {
    told.push(message);
    if (told.length === events) void strike();
  });
  if (events === 0) void strike();
  await ended(child);
  return { told, killed: child.signalCode === "SIGKILL" };
}

/** Trainings one after the other, each in its folder and gone on with until it ends; gives their final weights. */
async function trainings(root: string): Promise<readonly string[]> {
  const finals: string[] = [];
  for (let [deaths, run] = [0, 0]; ; run++) {
    const folder = join(root, `${run}`);
    for (let n = 0; ; n++) {
      // Every fourth before it has told anything: while it starts, takes over the lock and reads the checkpoint.
      const [events, moment] = n % 4 === 3 ? [0, Math.random() * 600] : [1 + (n % 3), Math.random() * 12];
      const { told, killed } = await life(folder, deaths < kills / lanes ? events : Number.POSITIVE_INFINITY, moment);
      expect(told.filter(({ error }) => error)).toEqual([]);
      deaths += Number(killed);
      const bits = told.at(-1)?.bits;
      if (bits === undefined) continue;
      finals.push(bits);
      // What the dead left is swept up: there are the two checkpoints that are kept, and nothing besides.
      if (!killed) expect((await readdir(folder)).sort()).toEqual([`checkpoint-${steps - 1}`, `checkpoint-${steps}`]);
      break;
    }
    if (deaths >= kills / lanes) return finals;
  }
}

it(`killed ${kills} times at random moments, it ends with the weights of an uninterrupted one`, async () => {
  const whole = smallModel();
  for await (const _ of train(smallTraining(whole, { steps })));
  const expected = await bitsOf(whole);
  const finals = await Promise.all(Array.from({ length: lanes }, (_, i) => trainings(join(root, `${i}`))));
  for (const bits of finals.flat()) expect(bits).toBe(expected);
});
