/**
 * Hostile files: each of the table ends with a typed error that names the file and the place in it, without a crash, a hang,
 * or memory beyond a small multiple of the file.
 */
import { type ChildProcess, fork } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle } from "../support/child.js";
import { type HostileCase, hostileCases } from "../support/hostile-cases.js";
import { type Outcome, readHostile } from "../support/read-hostile.js";

/** What a reader may take: its code and buffers, and a few times the file. */
const freeBytes = 160 * 2 ** 20;
const times = 8;
/** A detector of hangs, far beyond what any case takes. */
const patience = 100_000;

function check({ code = "file", place, most = freeBytes }: HostileCase, outcome: Outcome): void {
  expect(outcome.message).toMatch(place);
  expect(outcome).toMatchObject({ isTyped: true, code });
  expect(outcome.message).toContain(outcome.path);
  // No error repeats the file.
  expect(outcome.message.length).toBeLessThan(4000);
  expect(outcome.grown, "bytes taken").toBeLessThan(most + times * outcome.size);
  expect(({} as { polluted?: number }).polluted).toBeUndefined();
}

it("the table is long enough to be worth its name, and no case is there twice", () => {
  expect(hostileCases.length).toBeGreaterThan(80);
  expect(new Set(hostileCases.map(({ name }) => name)).size).toBe(hostileCases.length);
});

describe("refused, with the file and the place", () => {
  it.each(hostileCases.filter(({ isGreedy }) => !isGreedy).map((one) => [one.name, one] as const))(
    "%s",
    async (_, one) => check(one, await readHostile(one)),
  );
});

describe("refused, in a process with little memory that would not end by itself", () => {
  let child: ChildProcess;
  let current = "none";
  const outcomes = new Map<string, Outcome>();
  const waiting = new Map<string, (outcome: Outcome) => void>();
  let end: (error: Error) => void;
  const ended = new Promise<never>((_, reject) => {
    end = reject;
  });
  ended.catch(() => undefined);

  beforeAll(async () => {
    const script = await bundle(new URL("../support/read-hostile.ts", import.meta.url).pathname);
    child = fork(script, ["--greedy"], {
      execArgv: ["--max-old-space-size=1024"],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    child.on("message", ({ begins, name, outcome }: { begins?: string; name: string; outcome: Outcome }) => {
      if (begins !== undefined) current = begins;
      else {
        outcomes.set(name, outcome);
        waiting.get(name)?.(outcome);
      }
    });
    child.on("exit", (code, signal) => end(new Error(`the reader ended (${code ?? signal}) at "${current}"`)));
  });
  afterAll(() => {
    child.kill("SIGKILL");
  });

  it.each(hostileCases.filter(({ isGreedy }) => isGreedy).map((one) => [one.name, one] as const))(
    "%s",
    async (name, one) => {
      const known = outcomes.get(name);
      let detector: NodeJS.Timeout | undefined;
      const outcome =
        known ??
        (await Promise.race([
          new Promise<Outcome>((resolve, reject) => {
            waiting.set(name, resolve);
            detector = setTimeout(() => reject(new Error(`it hangs, at "${current}"`)), patience);
          }),
          ended,
        ]));
      clearTimeout(detector);
      check(one, outcome);
    },
  );
});
