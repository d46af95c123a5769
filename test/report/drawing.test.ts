import { describe, expect, it } from "vitest";
import { resolveAxis } from "../../src/report/axis.js";
import { colorAt, colorMap, colorSteps } from "../../src/report/color-map.js";
import { placeLabels } from "../../src/report/figures/end-labels.js";
import { edgesOf } from "../../src/report/figures/grid.js";
import { meanOf, type Point, smooth, thin } from "../../src/report/figures/smoothing.js";
import { createPalette, paletteCss } from "../../src/report/palette.js";

describe("smooth", () => {
  it("is the mean over a centred window, cut at the end and shrunk at the start", () => {
    expect(smooth([0, 3, 6, 9, 12], 3)).toEqual([0, 3, 6, 9, 10.5]);
  });

  it("leaves a window of one alone", () => {
    expect(smooth([1, 5, 2], 1)).toEqual([1, 5, 2]);
  });

  it("keeps gaps as gaps and does not let them into means", () => {
    expect(smooth([1, null, 3, Number.NaN, 5], 3)).toEqual([1, null, 3, null, 5]);
  });
});

describe("thin", () => {
  const points: Point[] = Array.from({ length: 1000 }, (_, i) => [i, i === 500 ? 99 : Math.sin(i / 50)]);

  it("keeps about as many points as asked, in order", () => {
    const kept = thin(points, 100);
    expect(kept.length).toBeLessThanOrEqual(101);
    expect(kept.map(([x]) => x)).toEqual(kept.map(([x]) => x).sort((a, b) => a - b));
  });

  it("keeps a spike of a single step", () => {
    expect(thin(points, 50)).toContainEqual([500, 99]);
  });

  it("keeps a gap", () => {
    const gap = points.map(([x, y]): Point => [x, x === 700 ? null : y]);
    expect(thin(gap, 50)).toContainEqual([700, null]);
  });

  it("returns few points as they are", () => {
    expect(thin(points.slice(0, 5), 100)).toEqual(points.slice(0, 5));
  });
});

describe("meanOf", () => {
  it.each([
    [[1, 2, 3], 2],
    [[1, null, 3], 2],
    [[null, Number.NaN], null],
    [[], null],
  ])("%j is %j", (values, mean) => {
    expect(meanOf(values)).toBe(mean);
  });
});

describe("placeLabels", () => {
  const place = (heights: readonly number[]) =>
    placeLabels(
      heights.map((y, i) => ({ text: String(i), key: "k", y })),
      10,
      0,
      100,
    ).map(({ at }) => at);

  it("leaves labels with room where they are", () => {
    expect(place([20, 50, 80])).toEqual([20, 50, 80]);
  });

  it("moves labels at one height apart around it", () => {
    expect(place([50, 50, 50])).toEqual([40, 50, 60]);
  });

  it("merges groups that touch after moving", () => {
    expect(place([50, 52, 60])).toEqual([44, 54, 64]);
  });

  it("keeps all labels inside the frame", () => {
    expect(place([0, 1, 2])).toEqual([0, 10, 20]);
    expect(place([99, 100])).toEqual([90, 100]);
  });
});

describe("resolveAxis", () => {
  it.each([
    ["linear data", { label: "" }, [0.2, 4.7], [0, 5], [0, 1, 2, 3, 4, 5]],
    ["a single value", { label: "" }, [3], [1, 5], [1, 2, 3, 4, 5]],
    ["no data", { label: "" }, [], [0, 1], [0, 0.2, 0.4, 0.6, 0.8, 1]],
    ["ends that are given", { label: "", min: 1, max: 2 }, [0, 9], [1, 2], [1, 1.2, 1.4, 1.6, 1.8, 2]],
    ["decades", { label: "", scale: "log" as const }, [0.5, 5000], [0.5, 5000], [1, 10, 100, 1000]],
    ["less than a decade", { label: "", scale: "log" as const }, [1, 4], [1, 4], [1, 1.5, 2, 3]],
    ["less than half a decade", { label: "", scale: "log" as const }, [2.2, 4.6], [2.2, 4.6], [3, 4]],
    ["log data with zeros", { label: "", scale: "log" as const }, [0, -1, 1, 10], [1, 10], [1, 1.5, 2, 3, 5, 7, 10]],
    [
      "log data without a positive value",
      { label: "", scale: "log" as const },
      [0],
      [0.1, 1],
      [0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1],
    ],
    ["both signs", { label: "", scale: "symlog" as const, threshold: 0.1 }, [-0.5, 2], [-0.5, 2], [-0.1, 0, 0.1, 1]],
  ])("%s", (_, axis, values, domain, ticks) => {
    const resolved = resolveAxis(axis, values);
    expect(resolved.domain).toEqual(domain);
    expect(resolved.ticks).toEqual(ticks);
  });

  it("writes ticks without rounding noise", () => {
    const { ticks, format } = resolveAxis({ label: "" }, [0, 0.3]);
    expect(ticks.map(format)).toEqual(["0", "0.1", "0.2", "0.3"]);
    expect([0.05, 1500, 1e6, 2.5, 1e-6, 100].map(format)).toEqual(["0.05", "1,500", "1e6", "2.5", "1e−6", "100"]);
  });
});

describe("edgesOf", () => {
  it("lies half-way between centres", () => {
    expect(edgesOf([0, 1, 3])).toEqual([-0.5, 0.5, 2, 4]);
    expect(edgesOf([7])).toEqual([6.5, 7.5]);
  });
});

type Rgb = readonly [number, number, number];

/** Linear light from a hex colour. */
function linear(hex: string): Rgb {
  const channel = (i: number): number => {
    const c = Number.parseInt(hex.slice(i, i + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  return [channel(1), channel(3), channel(5)];
}

const dot = ([a, b, c]: Rgb, [x, y, z]: Rgb): number => a * x + b * y + c * z;
const luminance = (hex: string): number => dot(linear(hex), [0.2126, 0.7152, 0.0722]);

describe("the colour map", () => {
  it.each([
    ["light", -1],
    ["dark", 1],
  ] as const)("%s: lightness runs one way only, so that it reads without colour", (mode, way) => {
    const lightness = colorMap(mode).map((hex) => Math.cbrt(luminance(hex)));
    const rises = lightness.slice(1).map((l, i) => way * (l - (lightness[i] ?? 0)));
    expect(Math.min(...rises)).toBeGreaterThan(0.005);
  });

  it("clamps positions to its ends", () => {
    expect(colorAt(-1)).toBe(colorAt(0));
    expect(colorAt(1)).toContain(`--heat-${colorSteps - 1}`);
    expect(colorAt(2)).toBe(colorAt(1));
  });
});

describe("the colours of placements", () => {
  const identity: readonly Rgb[] = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ];
  // Machado, Oliveira, Fernandes (2009), severity 1.
  const protan: readonly Rgb[] = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ];
  const deutan: readonly Rgb[] = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ];
  const through = (rgb: Rgb, [r, g, b]: readonly Rgb[]): Rgb => [
    Math.max(0, dot(rgb, r ?? rgb)),
    Math.max(0, dot(rgb, g ?? rgb)),
    Math.max(0, dot(rgb, b ?? rgb)),
  ];
  const lab = (rgb: Rgb): Rgb => {
    const l = Math.cbrt(dot(rgb, [0.4122214708, 0.5363325363, 0.0514459929]));
    const m = Math.cbrt(dot(rgb, [0.2119034982, 0.6806995451, 0.1073969566]));
    const s = Math.cbrt(dot(rgb, [0.0883024619, 0.2817188376, 0.6299787005]));
    const lms: Rgb = [l, m, s];
    return [
      dot(lms, [0.2104542553, 0.793617785, -0.0040720468]),
      dot(lms, [1.9779984951, -2.428592205, 0.4505937099]),
      dot(lms, [0.0259040371, 0.7827717662, -0.808675766]),
    ];
  };
  const colors = (mode: "light" | "dark"): string[] =>
    [...paletteCss(mode).matchAll(/--series-(\w+):(#\w{6})/g)].slice(0, 6).map((match) => match[2] ?? "");

  it.each([
    ["light", "#ffffff"],
    ["dark", "#14171c"],
  ] as const)("%s: have a contrast of 3 or more with the page", (mode, page) => {
    for (const color of colors(mode)) {
      const [low = 0, high = 0] = [luminance(color), luminance(page)].sort((a, b) => a - b);
      expect((high + 0.05) / (low + 0.05)).toBeGreaterThan(3);
    }
  });

  it.each([
    ["normal", identity],
    ["protan", protan],
    ["deutan", deutan],
  ])("stay at least 9 apart for %s vision, in both modes", (_, vision) => {
    for (const mode of ["light", "dark"] as const) {
      const seen = colors(mode).map((hex) => lab(through(linear(hex), vision)));
      const distances = seen.flatMap((a, i) =>
        seen.slice(i + 1).map((b) => 100 * Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2])),
      );
      expect(distances).toHaveLength(15);
      expect(Math.min(...distances)).toBeGreaterThan(9);
    }
  });
});

describe("createPalette", () => {
  it("gives a placement the same colour in every report", () => {
    expect(createPalette(["a", "peri"])("peri")).toBe(createPalette(["peri"])("peri"));
  });

  it("knows a placement by its kind as by its short name", () => {
    expect(createPalette()("layer-norm-scaling")).toBe(createPalette()("lns"));
  });

  it("gives other keys different colours, in order of appearance", () => {
    const palette = createPalette(["unified", "pre", "power", "unified"]);
    expect(palette("unified")).toContain("--series-spare-0");
    expect(palette("power")).toContain("--series-spare-1");
  });
});
