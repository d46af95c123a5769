import { describe, expect, it } from "vitest";
import { colorLegend } from "../../src/report/figures/color-legend.js";
import { heatMapValues } from "../../src/report/figures/heat-map.js";
import { angularHeatMap, bars, heatMap, interval, lines, sparkline } from "../../src/report/index.js";
import type { AngularFigure, BarsFigure, Figure, HeatMapFigure, LinesFigure } from "../../src/studies/study-report.js";
import { claims, report } from "./fixture.js";

const figures: readonly Figure[] = report.sections.flatMap((section) => section.figures ?? []);

function only<Kind extends Figure["kind"]>(kind: Kind): Extract<Figure, { kind: Kind }> {
  const found = figures.find((figure) => figure.kind === kind);
  if (!found) throw new Error(`the fixture has no ${kind}`);
  return found as Extract<Figure, { kind: Kind }>;
}

const loss: LinesFigure = only("lines");
const variance: HeatMapFigure = only("heat-map");
const angles: AngularFigure = only("angular-heat-map");
const skips: BarsFigure = only("bars");

function first<T>(items: readonly T[]): T {
  const [item] = items;
  if (item === undefined) throw new Error("expected at least one item");
  return item;
}

/** One element per line, so that a changed picture shows as a readable difference. */
const readable = (svg: string): string => `${svg.replaceAll("><", ">\n<")}\n`;

describe("every picture is reviewed as a picture", () => {
  it.each([
    ["lines", () => lines(loss, { width: 1040, height: 420 })],
    ["lines-narrow", () => lines(loss, { width: 358, height: 320 })],
    ["lines-log", () => lines({ ...loss, y: { label: "variance", scale: "log" }, smooth: 1 }, { width: 640 })],
    ["lines-diverged", () => lines({ ...loss, series: [diverging(loss)], smooth: 5 }, { width: 640 })],
    ["heat-map", () => heatMap(variance, first(variance.panels), { width: 340 })],
    ["heat-map-missing", () => heatMap(withHoles(variance), first(withHoles(variance).panels), { width: 340 })],
    [
      "heat-map-linear",
      () => heatMap({ ...variance, value: { label: "variance" } }, first(variance.panels.slice(1)), { width: 340 }),
    ],
    ["color-legend", () => colorLegend("variance", heatMapValues(variance), { width: 340 })],
    ["angular-heat-map", () => angularHeatMap(angles, first(angles.panels.slice(1)), { width: 340 })],
    ["bars", () => bars(skips, first(skips.panels.slice(1)), { width: 340 })],
    ["bars-linear-negative", () => bars(negative(skips), first(negative(skips).panels), { width: 340 })],
    [
      "sparkline",
      () => sparkline(first(first(loss.series).runs).y, { key: "post", label: "loss of Post-LN" }, { width: 110 }),
    ],
    ["interval", () => interval(first(claims.mix.slice(1)), { width: 120 })],
    ["interval-diverged", () => interval(first(claims.scaled.slice(2)), { width: 120 })],
  ])("%s", async (name, picture) => {
    await expect(readable(picture())).toMatchFileSnapshot(`pictures/${name}.svg`);
  });
});

/** Both seeds of the first series, one of them without values from step 120 on. */
function diverging({ series }: LinesFigure): LinesFigure["series"][number] {
  const { runs, ...subject } = first(series);
  return {
    ...subject,
    runs: runs.map(({ x, y }, seed) => ({ x, y: y.map((v, i) => (seed === 1 && i >= 120 ? null : v)) })),
  };
}

function withHoles(figure: HeatMapFigure): HeatMapFigure {
  const panel = first(figure.panels);
  const values = panel.values.map((row, r) =>
    row.map((v, c) => (r === 3 && c > 20 ? null : c === 40 ? Number.NaN : r === 0 && c === 0 ? 0 : v)),
  );
  return { ...figure, panels: [{ ...panel, values }] };
}

function negative(figure: BarsFigure): BarsFigure {
  const panel = first(figure.panels);
  const values = panel.values.map((_, i) => (i === 4 ? null : (i - 3) / 10));
  return {
    ...figure,
    y: { label: "loss increase", unit: "nats" },
    panels: [{ key: panel.key, name: panel.name, values }],
  };
}

describe("a picture", () => {
  const hostile = '<script>alert("1")</script>&\u0000\u001b[31m';
  const all: [string, string][] = [
    [
      "lines",
      lines({ ...loss, title: hostile, series: loss.series.map((s) => ({ ...s, name: hostile })) }, { width: 640 }),
    ],
    [
      "heat map",
      heatMap(
        { ...variance, title: hostile, x: { label: hostile } },
        { ...first(variance.panels), name: hostile },
        { width: 340 },
      ),
    ],
    [
      "angular heat map",
      angularHeatMap({ ...angles, title: hostile }, { ...first(angles.panels), name: hostile }, { width: 340 }),
    ],
    [
      "bars",
      bars(
        { ...skips, title: hostile, y: { label: hostile } },
        { ...first(skips.panels), name: hostile },
        { width: 340 },
      ),
    ],
    ["sparkline", sparkline([1, 2], { label: hostile }, { width: 100 })],
    ["interval", interval({ ...first(claims.peri), metric: hostile }, { width: 100 })],
  ];

  it.each(all)("%s: escapes names that come from outside", (_, svg) => {
    expect(svg).not.toContain("<script");
    expect(svg).toContain("&lt;script&gt;");
    expect(svg).not.toMatch(/[^\P{Cc}\n]/u);
  });

  it.each(all)("%s: has a title and a description, and no style or script of its own", (_, svg) => {
    expect(svg).toMatch(/^<svg [^>]*role="img" aria-labelledby="[\w-]+-t [\w-]+-d"/);
    expect(svg).toMatch(/<title id="[\w-]+-t">[^<]+<\/title><desc id="[\w-]+-d">[^<]+<\/desc>/);
    expect(svg).not.toMatch(/<style|<script|<image|href=/);
  });
});

describe("lines", () => {
  const run = (y: readonly (number | null)[]) => ({ x: y.map((_, i) => i), y });
  const figure = (runs: readonly (readonly (number | null)[])[]): LinesFigure => ({
    kind: "lines",
    title: "t",
    caption: "c",
    x: { label: "step" },
    y: { label: "loss" },
    series: [{ key: "pre", name: "Pre-LN", runs: runs.map(run) }],
  });

  it("says in its description where each curve ends", () => {
    expect(lines(figure([[3, 2, 1.5]]), { width: 400 })).toContain("At the end: Pre-LN 1.50.");
  });

  it("has no mean where one run has no value", () => {
    const svg = lines(
      figure([
        [3, 2, 1.5],
        [3, null, null],
      ]),
      { width: 400 },
    );
    expect(svg).toContain("At the end: Pre-LN without a value.");
  });

  it("draws without any value at all", () => {
    expect(lines(figure([[null, Number.NaN]]), { width: 400 })).toContain("<svg");
    expect(lines({ ...figure([]), series: [] }, { width: 400 })).toContain("<svg");
  });
});
