/** What a study keeps about every layer while it trains. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { text } from "../../src/data/text-files.js";
import { layerHeatMap } from "../../src/studies/figures.js";
import { angularCsv, historyCsv, Laboratory, type TrainedRun } from "../../src/studies/index.js";
import { standard } from "../../src/studies/laboratory.js";

const scale = {
  layers: 3,
  width: 16,
  heads: 2,
  hidden: 32,
  context: 16,
  batch: 2,
  steps: 12,
  seeds: [0],
  initialSeeds: [0],
};

describe("a run's history", () => {
  let laboratory: Laboratory;
  let run: TrainedRun;
  beforeAll(async () => {
    laboratory = new Laboratory({
      data: await text.open("README.md", { tokens: "bytes", context: 16 }),
      label: "README.md",
      scale,
    });
    run = await laboratory.train("pre", standard, 0);
  });
  afterAll(() => laboratory.release());

  it("has every diagnostic at every probe", () => {
    expect(run.history.map(({ step }) => step)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    for (const { layers } of run.history) {
      expect(layers.variance).toHaveLength(4);
      expect(layers.inputGradientNorm).toHaveLength(3);
      expect(layers.angular.map((row) => row.filter((v) => v !== null).length)).toEqual([3, 2, 1]);
      expect(layers.drop.delta).toHaveLength(3);
    }
    expect(run.history[0]?.layers.drop.delta).not.toEqual(run.history[12]?.layers.drop.delta);
  });

  it("is drawn layer × step", () => {
    for (const quantity of ["variance", "angular", "skip"] as const) {
      const { rows, columns, panels } = layerHeatMap([run], quantity, "");
      expect([rows.length, columns.length]).toEqual([quantity === "variance" ? 4 : 3, 13]);
      expect(panels[0]?.values.flat().every((value) => value !== null)).toBe(true);
    }
    const [panel] = layerHeatMap([run], "skip", "").panels;
    expect(panel?.values[1]?.[12]).toBe(run.history[12]?.layers.drop.delta[1]);
  });

  it("is written as tables", () => {
    const rows = historyCsv([run]).split("\n");
    expect(rows).toHaveLength(1 + 13 * 3);
    expect(rows[0]).toMatch(/^placement,recipe,seed,step,block,variance,/);
    expect(rows[1]).toMatch(/^pre,standard,0,0,0,/);
    const angular = angularCsv([run]).split("\n");
    expect(angular).toHaveLength(1 + 13 * 6);
    expect(angular.at(-1)).toBe(`pre,standard,0,12,3,0,${run.history[12]?.layers.angular[2]?.[0]}`);
  });
});
