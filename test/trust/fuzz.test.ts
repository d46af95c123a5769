/** Damaged files, seeded: every outcome is a value or an error that names the file. `scripts/fuzz.js` runs for longer. */
import { describe, expect, it } from "vitest";
import { LayerwiseError } from "../../src/tensor/errors.js";
import { damaged, type Finding, randomNumbers, type Tally, type Target, targets, tryInput } from "../support/fuzz.js";

const inputs: Readonly<Record<string, number>> = {
  safetensors: 50_000,
  "ONNX of others": 25_000,
  "ONNX of ours": 25_000,
  PNG: 5000,
  JPEG: 1000,
  "tokenizer.json": 5000,
};

describe.each(targets.map((target) => [target.name, target] as const))("%s", (name, target) => {
  it("valid files are read", () => {
    const read = target.seeds.filter((bytes) => {
      try {
        target.read(bytes);
        return true;
      } catch {
        return false;
      }
    });
    expect(read.length).toBeGreaterThan(0);
  });

  it(`${inputs[name]} damaged ones give a value or a typed error with the file's name`, () => {
    const tally: Tally = { read: 0, refused: 0 };
    const findings: Finding[] = [];
    for (let input = 0; input < (inputs[name] as number) && findings.length < 5; input++) {
      const finding = tryInput(target, input, 1, tally);
      if (finding) findings.push(finding);
    }
    expect(findings.map(({ input, problem }) => `input ${input}: ${problem}`)).toEqual([]);
    // Damage that never matters, or always, would test little.
    expect(tally.refused).toBeGreaterThan((inputs[name] as number) / 4);
    expect(tally.read).toBeGreaterThan((inputs[name] as number) / 100);
  });

  it("the same seed gives the same damage, another one another", () => {
    const bytes = (seed: number): Uint8Array[] => {
      const random = randomNumbers(seed);
      return Array.from({ length: 20 }, () => damaged(target, random));
    };
    expect(bytes(7)).toEqual(bytes(7));
    expect(bytes(7)).not.toEqual(bytes(8));
  });
});

it("an error that is no typed one, or names no file, is told of", () => {
  const broken = (error: Error): Target => ({
    name: "broken",
    seeds: [Uint8Array.of(1)],
    within: (bytes) => bytes,
    read: () => {
      throw error;
    },
  });
  const tally: Tally = { read: 0, refused: 0 };
  const problem = (error: Error): string | undefined => tryInput(broken(error), 0, 1, tally)?.problem;
  expect(problem(new RangeError("x"))).toBe("untyped: RangeError: x");
  expect(problem(new LayerwiseError("file", "x"))).toBe("does not name the file: x");
  expect(problem(new LayerwiseError("file", "fuzz.bin: x"))).toBeUndefined();
});
