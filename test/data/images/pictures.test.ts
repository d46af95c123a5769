import { describe, expect, test } from "vitest";
import { applyTransforms, type Transform } from "../../../src/data/images/augment.js";
import { motion } from "../../../src/data/images/corrupt-blur.js";
import { corrupt, corruptionNames, type Severity } from "../../../src/data/images/corruptions.js";
import { Draws } from "../../../src/data/images/draws.js";
import { adjustHue } from "../../../src/data/images/jitter.js";
import { freeFormMask, rectangleMask, squareMask } from "../../../src/data/images/masks.js";
import { l1, meanSquaredError, psnr, ssim } from "../../../src/data/images/metrics.js";
import { mixExamples } from "../../../src/data/images/mix.js";
import type { Picture } from "../../../src/data/images/picture.js";
import { markExample, scenePicture, shapeArrays, shapeExample, shapeImages } from "../../../src/data/images/shapes.js";
import { rotate, type ShiftName, shiftDomain, shiftNames } from "../../../src/data/images/shifts.js";
import { difference, numbers, reference } from "./support.js";

const plain = { mean: [0, 0, 0], std: [1, 1, 1] };
const apply = (image: Picture, transform: Transform, index = 0): Picture =>
  applyTransforms(image, [transform], { seed: 1, epoch: 2, index }, plain);
const draws = (index = 0): Draws => new Draws({ seed: 3, index }, "test");
const grid = (height: number, width: number): Picture => ({
  ...{ channels: 1, height, width },
  data: Float32Array.from({ length: height * width }, (_, i) => (i + 1) / (height * width)),
});
const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0) / values.length;

describe("metrics", () => {
  test("as numpy computes them", () => {
    const [a, b] = [reference("metrics.a"), reference("metrics.b")];
    const ours = [l1(a, b), meanSquaredError(a, b), psnr(a, b), ssim(a, b)];
    numbers("metrics.values").forEach((value, i) => {
      expect(Math.abs((ours[i] as number) - value)).toBeLessThan(1e-5 * value);
    });
    expect([ssim(a, a), psnr(a, a)]).toEqual([1, Number.POSITIVE_INFINITY]);
  });

  test("a mask chooses places; sizes are checked", () => {
    const [a, b] = [grid(2, 2), { ...grid(2, 2), data: Float32Array.of(0, 0, 0, 0) }];
    expect(l1(a, b, [0, 1, 0, 1])).toBeCloseTo((0.5 + 1) / 2, 6);
    expect(() => l1(a, b, [0, 0, 0, 0])).toThrow("nothing to compare");
    expect(() => l1(a, grid(2, 3))).toThrow("1x2x2 and 1x2x3");
    expect(() => ssim(a, b)).toThrow("expected at least 11x11");
  });
});

describe("corruptions", () => {
  const severities: Severity[] = [1, 2, 3, 4, 5];
  const exact = ["defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate"] as const;
  test.each(exact.flatMap((name) => severities.map((severity) => [name, severity] as const)))(
    "%s at %i is the definition's",
    (name, severity) => {
      const { most, mean } = difference(
        corrupt(reference("x"), name, severity, draws()),
        reference(`${name}.${severity}`),
      );
      // A value on the edge of a step may fall to either side.
      expect(most).toBeLessThan(1.01);
      expect(mean).toBeLessThan(name === "defocus_blur" ? 0.1 : 0.01);
    },
  );

  test.each(severities)("JPEG at %i is libjpeg's but for a few coefficients", (severity) => {
    for (const [source, name] of [
      ["x", "jpeg_compression"],
      ["grey", "jpeg_grey"],
    ] as const) {
      const [original, expected] = [reference(source), reference(`${name}.${severity}`)];
      const ours = corrupt(original, "jpeg_compression", severity, draws());
      expect(difference(ours, expected).mean).toBeLessThan(0.6);
      expect(psnr(original, ours)).toBeCloseTo(psnr(original, expected), 0);
    }
  });

  test.each(corruptionNames)("%s: whole steps in [0, 1], repeatable, stronger with severity, grey too", (name) => {
    for (const source of ["x", "grey"]) {
      const image = reference(source);
      const damage = severities.map((severity) => {
        const result = corrupt(image, name, severity, draws());
        expect(result.data).toEqual(corrupt(image, name, severity, draws()).data);
        for (const x of result.data) {
          expect(x >= 0 && x <= 1).toBe(true);
          expect(Math.abs(x * 255 - Math.round(x * 255))).toBeLessThan(1e-3);
        }
        return l1(image, result);
      });
      expect(damage[0]).toBeGreaterThan(0);
      // Elastic distortion turns from shaking to bending, as published.
      if (name !== "elastic_transform") expect(damage[4]).toBeGreaterThan(damage[0] as number);
    }
  });

  test.each([
    [6, 1, 0],
    [6, 1, 30],
    [6, 2, -40],
    [9, 2.5, 17],
    [14, 12, -100],
  ])("motion blur of radius %d, deviation %d at %d degrees is ImageMagick's", (radius, sigma, angle) => {
    const ours = motion(reference("x"), radius, sigma, angle);
    // ImageMagick's is cut off to bytes.
    const cut = { ...ours, data: ours.data.map((value) => Math.floor(value * 255 + 1e-3) / 255) };
    const { most, mean } = difference(cut, reference(`motion.${radius}.${sigma}.${angle}`));
    expect(most).toBeLessThan(1.01);
    expect(mean).toBeLessThan(0.02);
  });

  test("noise has the published size", () => {
    const half = { channels: 3, height: 64, width: 64, data: new Float32Array(3 * 64 * 64).fill(128 / 255) };
    const spread = (name: "gaussian_noise" | "shot_noise", severity: Severity): number => {
      const { data } = corrupt(half, name, severity, draws());
      const middle = mean(data);
      return Math.sqrt(mean(Array.from(data, (x) => (x - middle) ** 2)));
    };
    expect(spread("gaussian_noise", 5)).toBeCloseTo(0.1, 2);
    expect(spread("shot_noise", 1)).toBeCloseTo(Math.sqrt(128 / 255 / 500), 2);
    expect(spread("shot_noise", 5)).toBeCloseTo(Math.sqrt(128 / 255 / 50), 2);
    const changed = corrupt(half, "impulse_noise", 5, draws()).data.filter((x) => x === 0 || x === 1);
    expect(changed.length / half.data.length).toBeCloseTo(0.07, 1);
  });

  test("unknown names and severities are refused", () => {
    expect(() => corrupt(grid(4, 4), "rain" as "snow", 1, draws())).toThrow('"rain" is not known');
    expect(() => corrupt(grid(4, 4), "snow", 6 as Severity, draws())).toThrow("severity 6; expected 1 to 5");
  });
});

describe("augmentations", () => {
  test("a random crop is a part of the padded picture, and all places come up", () => {
    const seen = new Set<string>();
    for (let index = 0; index < 200; index++) {
      const { data, height, width } = apply(grid(3, 3), { name: "randomCrop", size: 3, padding: 1 }, index);
      expect([height, width]).toEqual([3, 3]);
      seen.add(Array.from(data, (x) => Math.round(x * 9)).join());
    }
    expect(seen.size).toBe(9);
    expect(seen).toContain("1,2,3,4,5,6,7,8,9");
    expect(seen).toContain("0,0,0,0,1,2,0,4,5");
    expect(() => apply(grid(3, 3), { name: "randomCrop", size: 6, padding: 1 })).toThrow("randomCrop: 6x6 of 1x3x3");
  });

  test("a flip is a mirror half of the time", () => {
    const flips = Array.from({ length: 400 }, (_, i) => apply(grid(1, 3), { name: "horizontalFlip" }, i).data[0] === 1);
    expect(flips.filter(Boolean).length / 400).toBeCloseTo(0.5, 1);
  });

  test("resizing is Pillow's bilinear", () => {
    for (const [name, size] of [
      ["shrunk", [9, 13]],
      ["enlarged", [50, 40]],
    ] as const) {
      const result = apply(reference("x"), { name: "resize", size });
      expect(difference(result, reference(`resize.${name}`)).most).toBeLessThan(1e-3);
    }
  });

  test("hue turns as HSV has it", () => {
    expect(difference(adjustHue(reference("x"), 0.3), reference("hue")).most).toBeLessThan(1e-3);
  });

  test("colour jitter of nothing changes nothing; of something it does", () => {
    const x = reference("x");
    expect(apply(x, { name: "colorJitter" }).data).toEqual(x.data);
    expect(
      l1(x, apply(x, { name: "colorJitter", brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 })),
    ).toBeGreaterThan(0.01);
  });

  test("erasing takes a share of the area within bounds", () => {
    for (let index = 0; index < 50; index++) {
      const { data } = apply(grid(32, 32), { name: "randomErasing", probability: 1 }, index);
      const share = data.filter((x) => x === 0).length / data.length;
      expect(share > 0.01 && share < 0.36).toBe(true);
    }
  });

  test("draws depend on (seed, epoch, index) and on nothing else", () => {
    const list: Transform[] = [
      { name: "resizedCrop", size: 8 },
      { name: "colorJitter", brightness: 0.5 },
    ];
    const make = (seed: number, epoch: number, index: number): Float32Array =>
      applyTransforms(reference("x"), list, { seed, epoch, index }, plain).data;
    expect(make(1, 2, 3)).toEqual(make(1, 2, 3));
    for (const other of [make(2, 2, 3), make(1, 3, 3), make(1, 2, 4)]) expect(other).not.toEqual(make(1, 2, 3));
  });
});

describe("mixing", () => {
  const parts = {
    images: Float32Array.from({ length: 4 * 64 }, (_, i) => i >> 6),
    shape: [4, 1, 8, 8],
    labels: Int32Array.of(0, 1, 2, 0),
  };
  test.each(["mixup", "cutmix"] as const)("%s: targets say what share of whom the image holds", (name) => {
    let mixed = 0;
    for (let index = 0; index < 40; index++) {
      const { images, targets } = mixExamples(parts, 3, { [name]: 1 }, { seed: 5, index });
      // Image 1 is all 1, its partner 2 all 2: the mean tells λ.
      const share = 2 - mean(images.subarray(64, 128));
      expect(Array.from(targets?.subarray(3, 6) as Float32Array)).toEqual([
        0,
        expect.closeTo(share, 5),
        expect.closeTo(1 - share, 5),
      ]);
      // Partners of one class keep it whole.
      expect(targets?.[0]).toBeCloseTo(1, 6);
      if (share > 0.02 && share < 0.98) mixed++;
    }
    expect(mixed).toBeGreaterThan(20);
  });

  test("Beta has its mean and variance", () => {
    const random = draws();
    const values = Array.from({ length: 4000 }, () => random.beta(0.4, 0.8));
    expect(mean(values)).toBeCloseTo(1 / 3, 1);
    expect(mean(values.map((x) => (x - 1 / 3) ** 2))).toBeCloseTo((0.4 * 0.8) / (1.2 ** 2 * 2.2), 2);
  });
});

describe("domains", () => {
  const formulas: Partial<Record<ShiftName, (x: number, c: number) => number>> = {
    lowcontrast: (x) => 0.35 * x + 0.5,
    tint: (x, c) => x * ([1, 0.4, 0.2][c] as number) + 0.1,
    dark: (x) => 0.6 * x ** 2.5,
    bright: (x) => 1.6 * x + 0.2,
    inverted: (x) => 1 - x,
  };
  test.each(Object.entries(formulas))("%s is its formula", (name, formula) => {
    const x = reference("x");
    shiftDomain(x, name as ShiftName, draws()).data.forEach((value, i) => {
      expect(value).toBeCloseTo(formula(x.data[i] as number, Math.floor(i / 1024)), 6);
    });
  });

  test.each(shiftNames)("%s changes a picture, the same way each time", (name) => {
    const x = reference("x");
    const shifted = shiftDomain(x, name, draws());
    expect(shifted.data).toEqual(shiftDomain(x, name, draws()).data);
    expect(l1(x, shifted)).toBeGreaterThan(0.01);
  });

  test("a quarter turn moves pixels counter-clockwise, whole", () => {
    const { data } = rotate({ channels: 1, height: 2, width: 2, data: Float32Array.of(1, 2, 3, 4) }, 90);
    Float32Array.of(2, 4, 1, 3).forEach((x, i) => {
      expect(data[i]).toBeCloseTo(x, 5);
    });
  });
});

describe("drawn pictures", () => {
  test("shapes: six balanced classes; a shift changes the pixels and not the scene", () => {
    const counts = new Array<number>(6).fill(0);
    for (let i = 0; i < 600; i++) counts[shapeExample(i).label] = (counts[shapeExample(i).label] as number) + 1;
    for (const count of counts) expect(count).toBeGreaterThan(60);
    const [base, dark] = [shapeExample(5), shapeExample(5, { shift: "dark" })];
    expect(dark.label).toBe(base.label);
    expect(dark.image.data[7]).toBeCloseTo(0.6 * (base.image.data[7] as number) ** 2.5, 6);
  });

  test("shapes cover the area their definition has", () => {
    // Areas in units of R², from the inequalities; foreground is what is brighter than any background.
    const areas = [Math.PI, 1.7 ** 2, 1.7 ** 2 / 1.7, 4 * 2 * 0.33 - 0.66 ** 2, Math.PI * 0.65, 0];
    const measured = areas.map(() => [] as number[]);
    for (let i = 0; i < 1500; i++) {
      const { image, label } = shapeExample(i, { noise: 0, size: 60 });
      const share = mean(Array.from(image.data, (x) => Number(x > 0.5)));
      measured[label]?.push(share);
    }
    const square = (0.34 ** 3 - 0.22 ** 3) / 3 / 0.12;
    areas.slice(0, 5).forEach((area, label) => {
      expect(mean(measured[label] as number[]) / (area * square)).toBeCloseTo(1, 1);
    });
  });

  test("a set in memory is the same pictures as bytes, (x − 0.5) · 2 when normalised", async () => {
    const set = shapeImages(3, { first: 10, seed: 4 });
    const { image, label } = await set.get(2);
    const drawn = shapeExample(12, { seed: 4 });
    expect([label, set.mean, set.std]).toEqual([drawn.label, [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]);
    expect(difference(image, drawn.image).most).toBeLessThan(0.501);
  });

  test("arrays are the pictures as drawn: a shift may leave [0, 1]", () => {
    const { images, labels } = shapeArrays(4, { first: 3, shift: "bright" });
    expect([images.shape, labels.at(1)]).toEqual([[4, 3, 20, 20], shapeExample(4).label]);
    expect(images.data[1200 + 9]).toBeCloseTo(1.6 * (shapeExample(4).image.data[9] as number) + 0.2, 6);
    expect(Math.max(...(images.data as Float32Array))).toBeGreaterThan(1);
  });

  test("marks cover the area their definition has", () => {
    const areas = [4, Math.PI * 1.21, 4 * 0.35 + 4 * 0.35 - 0.49, 2 * 1.69];
    const square = (4.5 ** 3 - 2.5 ** 3) / 3 / 2;
    const light = areas.map(() => [] as number[]);
    for (let i = 0; i < 4000; i++) {
      const { image, label } = markExample(i);
      light[label]?.push(mean(image.data) * 256);
    }
    areas.forEach((area, label) => {
      expect(mean(light[label] as number[]) / (area * 0.75 * square)).toBeCloseTo(1, 1);
    });
  });

  test("scenes are in [0, 1] and differ", () => {
    expect(scenePicture(1).data.every((x) => x >= 0 && x <= 1)).toBe(true);
    expect(l1(scenePicture(1), scenePicture(2))).toBeGreaterThan(0.02);
  });

  test("masks are 0 or 1; rectangles cover about a fifth, a square its ratio", () => {
    const rectangles = Array.from({ length: 300 }, (_, i) => mean(rectangleMask([32, 32], draws(i)).data));
    expect(mean(rectangles)).toBeCloseTo(0.19, 1);
    const brush = Array.from({ length: 60 }, (_, i) => freeFormMask([32, 32], draws(i)).data);
    expect(brush.every((data) => data.every((x) => x === 0 || x === 1))).toBe(true);
    const share = mean(brush.map(mean));
    expect(share > 0.05 && share < 0.6).toBe(true);
    expect(mean(squareMask([32, 32], 0.25).data)).toBe(0.25);
    expect(() => squareMask([32, 32], 2)).toThrow("ratio 2; expected 0 to 1");
  });
});
