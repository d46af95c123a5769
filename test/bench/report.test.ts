/** What `npm run bench` writes into the README, from results that were recorded: nothing is measured here. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

type Text = (...given: unknown[]) => string;

// Plain JavaScript has no declarations: what is used is typed here.
const files: readonly string[] = ["../../bench/report.js", "../../bench/tables.js", "../../bench/statistics.js"];
const [report, tables, statistics] = (await Promise.all(files.map((file) => import(file)))) as [
  { asMarkdown: Text; asText: Text; drawn: Text },
  { number: Text; tablesOf: Record<string, unknown> },
  {
    median: (numbers: readonly number[]) => number;
    ratio: (theirs: readonly number[], ours: readonly number[]) => Record<string, number>;
    guarded: (sides: Record<string, () => unknown>) => {
      sides: Record<string, () => Promise<unknown>>;
      problems: Record<string, string>;
    };
    inTurns: (sides: Record<string, () => unknown>, turns: number) => Promise<Record<string, unknown[]>>;
  },
];
const results = JSON.parse(await readFile(join(import.meta.dirname, "results.json"), "utf8")) as {
  parts: Record<string, { machine: string; result: unknown }>;
};

describe("the README's tables", () => {
  const text = "# layerwise\n<!-- bench -->\nold figures\n<!-- /bench -->\nremarks\n";

  it("are drawn from recorded results", async () => {
    await expect(report.asMarkdown(results)).toMatchFileSnapshot("report.md");
  });

  it("replace what stands between the markers, and nothing else", () => {
    const drawn = report.drawn(text, results);
    expect(drawn).toMatch(/^# layerwise\n<!-- bench -->\n/);
    expect(drawn).toMatch(/\n<!-- \/bench -->\nremarks\n$/);
    expect(drawn).not.toContain("old figures");
    expect(report.drawn(drawn, results)).toBe(drawn);
  });

  it("need their markers", () => {
    expect(() => report.drawn("# layerwise\n", results)).toThrow('expected the lines "<!-- bench -->"');
  });

  it("have as many cells in every row as in the head", () => {
    const rows = report.asMarkdown(results).split("\n");
    let width = 0;
    for (const row of rows) {
      const cells = row.replaceAll("\\|", "").split("|").length;
      if (!row.startsWith("|")) width = 0;
      else if (width === 0) width = cells;
      else expect(cells, row).toBe(width);
    }
  });

  it("say once where all was measured, and for each part where machines differ", () => {
    const { decode, ...others } = results.parts;
    expect(report.asMarkdown({ parts: others }).split("A processor").length).toBe(2);
    expect(report.asMarkdown(results)).toContain(decode?.machine);
  });
});

describe("the silicon's peak in the table of the step", () => {
  const told = (silicon?: Record<string, unknown>) =>
    report.asText("step", { ...(results.parts.step?.result as Record<string, unknown>), silicon });

  it("stands beside the share of the matrix product, with what it was taken to be", () => {
    const text = told({ gflops: 213, how: "as given with --silicon" });
    expect(text).toContain("of the same run's matmul (149), 50 % of the silicon's peak (213)");
    expect(text).toContain("The silicon's peak in float32: as given with --silicon.");
  });

  it("is said to be unknown where it is, and not measured in results that are older", () => {
    expect(told({ problem: "no /proc/cpuinfo" })).toContain("The silicon's peak is not known here: no /proc/cpuinfo.");
    expect(told()).toContain("The share of the silicon's peak was not measured.");
  });
});

describe("the recipe's row of PyTorch", () => {
  type Recipe = { layerwise: Record<string, unknown>; pytorch: { variants: Record<string, unknown>[] } };
  const recorded = results.parts.recipe?.result as Recipe;
  const rowOf = (pytorch: Record<string, unknown>, layerwise = recorded.layerwise) =>
    report
      .asText("recipe", { ...recorded, layerwise, pytorch })
      .split("\n")
      .slice(2, 4)
      .join("\n");

  it("names the setting that was fastest and has the ratios of all", () => {
    const row = rowOf({ name: "PyTorch", variants: recorded.pytorch.variants });
    expect(row).toMatch(/PyTorch, OpenBLAS with its own choice of kernels, the fastest of 2 settings +2\.971/);
    expect(row).toMatch(/1\.2 times .*: 1\.7 s .*; OpenBLAS with Haswell kernels, as set here, 1\.7 times .*: 2\.5 s/);
  });

  it("says of older results, of one kind and without drawn batches, what they lack", () => {
    const older = ({ drawnLoss: _, label: __, ...rest }: Record<string, unknown>) => rest;
    const row = rowOf({ name: "PyTorch", ...older(recorded.pytorch.variants[0] ?? {}) }, older(recorded.layerwise));
    expect(row.match(/not measured/g)).toHaveLength(3); // other settings, and both sides' drawn batches
    expect(row).toMatch(/PyTorch, other settings not measured +2\.969 /);
  });

  it("says why it was skipped", () => {
    expect(rowOf({ name: "PyTorch", problem: "not installed" })).toMatch(/PyTorch +skipped: not installed/);
  });
});

describe("the vision table's column of PyTorch", () => {
  const headOf = (pytorch: Record<string, unknown>) =>
    report.asText("vision", { ...(results.parts.vision?.result as Record<string, unknown>), pytorch }).split("\n")[0];

  it.each([
    ["PyTorch (oneDNN), the best of 2 settings tried in the run ", { name: "PyTorch", settings: 2 }],
    ["PyTorch (oneDNN), the best of the settings tried in the run ", { name: "PyTorch" }], // older results
    ["  PyTorch  ", { name: "PyTorch", problem: "not installed" }],
  ])("is called %s", (title, pytorch) => {
    expect(headOf(pytorch)).toContain(title);
  });
});

it.each(["step", "startup", "recipe", "browser", "decode", "vision"])(
  "part %s has a table for the terminal",
  (part) => {
    expect(report.asText(part, results.parts[part]?.result)).toContain("layerwise");
  },
);

it.each([
  [1476.37, "1,476"],
  [454.1, "454"],
  [83.3, "83"],
  [7.64, "7.6"],
  [0.743, "0.74"],
  [1234567, "1,234,567"],
])("%d is written %s", (value, text) => {
  expect(tables.number(value)).toBe(text);
});

describe("turns", () => {
  it("give the median of an even count as the mean of the middle two", () => {
    expect(statistics.median([4, 1, 3, 2])).toBe(2.5);
  });

  it("are compared one by one: a machine that slows down for both changes no ratio", () => {
    expect(statistics.ratio([30, 60, 90], [10, 20, 30])).toEqual({ median: 3, low: 3, high: 3, turns: 3 });
  });

  it("go on without a side that failed, which is asked once", async () => {
    let asked = 0;
    const fails = () => {
      asked++;
      throw new Error("no kernel\n  at step");
    };
    const { sides, problems } = statistics.guarded({ ours: () => 1, theirs: fails });
    const values = await statistics.inTurns(sides, 2);
    expect({ values, problems, asked }).toEqual({
      values: { ours: [1, 1], theirs: [undefined, undefined] },
      problems: { theirs: "no kernel" },
      asked: 1,
    });
  });

  it("do not always begin with the same side", async () => {
    const order: string[] = [];
    const side = (name: string) => () => order.push(name);
    await statistics.inTurns({ a: side("a"), b: side("b"), c: side("c") }, 3);
    expect(order.join("")).toBe("abccabbca");
  });
});
