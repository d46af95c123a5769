import { describe, expect, it } from "vitest";
import type { Finding } from "../../src/inspect/index.js";
import { fewerCells, matricesOf } from "../../src/report/cells.js";
import { inspectReport } from "../../src/report/index.js";
import { NDArray } from "../../src/tensor/index.js";

const array = (shape: number[], value: (i: number) => number = (i) => i): NDArray =>
  NDArray.from(
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i)),
    "float32",
    shape,
  );

describe("matricesOf", () => {
  it("takes the last two axes, and names the others", () => {
    const all = matricesOf(array([2, 3, 4, 5]));
    expect(all.map(({ name }) => name)).toEqual(["0, 0", "0, 1", "0, 2", "1, 0", "1, 1", "1, 2"]);
    expect(all[4]?.at(3, 2)).toBe(4 * 20 + 17);
    expect(matricesOf(array([1, 4, 5])).map(({ name }) => name)).toEqual([""]);
    expect(matricesOf(array([5]))[0]).toMatchObject({ height: 1, width: 5 });
  });
});

describe("fewerCells", () => {
  it("keeps the largest size of what it joins: an outlier is never averaged away", () => {
    const [matrix] = matricesOf(array([2, 200], (i) => (i === 333 ? -7 : Math.sin(i))));
    const cells = fewerCells(matrix as NonNullable<typeof matrix>);
    expect(cells).toMatchObject({ isJoined: true, rows: [0, 1] });
    expect(cells.columns).toHaveLength(50);
    expect(cells.values[1]?.[33]).toBe(7);
  });

  it("has no value where none is finite", () => {
    const [matrix] = matricesOf(array([2, 2], (i) => (i < 2 ? Number.NaN : -i)));
    expect(fewerCells(matrix as NonNullable<typeof matrix>).values).toEqual([
      [null, null],
      [2, 3],
    ]);
  });
});

describe("the page", () => {
  const page = (findings: Finding[], tokens?: string[]): string =>
    inspectReport({ title: "Inside", command: "layerwise inspect", facts: [], findings, tokens });

  it("writes tokens at the axes of attention, the first query on top", () => {
    const value = array([1, 2, 3, 3], (i) => (i % 9) / 9);
    const drawn = page([{ name: "attention(a.0)", kind: "attention", value }], ["<s>", "one", "two"]);
    expect(drawn.match(/>two</g)).toHaveLength(4);
    expect(drawn).toContain("&lt;s&gt;");
    // The rows' names come last.
    const height = (text: string): number =>
      Number([...drawn.matchAll(new RegExp(`translate\\([\\d.]+,([\\d.]+)\\)[^>]*>${text}<`, "g"))].at(-1)?.[1]);
    expect(height("one")).toBeLessThan(height("two"));
  });

  it("draws a curve for tensors that differ in the layer, and none for one", () => {
    const value = array([2, 3]);
    const at = (name: string): Finding => ({ name, kind: "output", value });
    expect(page([at("a.0.b"), at("a.1.b")])).toContain("Over the layers");
    expect(page([at("a.0.b"), at("a.1.c")])).not.toContain("Over the layers");
  });

  it("counts what is not finite, and says what is not drawn", () => {
    const broken: Finding = { name: "x", kind: "output", value: array([2, 2], () => Number.NaN) };
    expect(page([broken])).toContain("not finite");
    expect(page([{ ...broken, value: array([2, 2]) }])).not.toContain("not finite");
    expect(page(Array.from({ length: 50 }, () => broken))).toContain("2 more tensors are in the table alone.");
  });
});
