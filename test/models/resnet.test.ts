import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  compile,
  loadSafetensors,
  NDArray,
  nn,
  philoxNormal,
  readSafetensors,
  saveSafetensors,
  type Tensor,
  training,
  writeSafetensors,
} from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";
import { modelCase, trainSteps } from "../support/model-case.js";

const image = (shape: number[]): NDArray =>
  new NDArray(
    philoxNormal(
      { seed: 5, site: "image" },
      shape.reduce((a, b) => a * b),
    ),
    shape,
    "float32",
  );
const parameters = (model: nn.Module) => model.parameters().reduce((sum, { size }) => sum + size, 0);
const outputOf = async (model: nn.Module, x: NDArray) =>
  ((await compile(({ x }) => ({ y: model.apply(x as Tensor) }))({ x })).y as NDArray).toNumbers();

describe("residual networks", () => {
  it.each<[string, () => nn.Module, number]>([
    ["ResNet-18", () => nn.resnet("18"), 11_689_512],
    ["ResNet-18-IBN-a", () => nn.resnet("18", { ibn: "a" }), 11_689_512],
    ["ResNet-18-IBN-b", () => nn.resnet("18", { ibn: "b" }), 11_689_896],
    ["ResNet-50", () => nn.resnet("50"), 25_557_032],
    ["ResNet-50-IBN-a", () => nn.resnet("50", { ibn: "a" }), 25_557_032],
    ["ResNet-50-IBN-b", () => nn.resnet("50", { ibn: "b" }), 25_558_568],
    ["ResNeXt-50 32×4d", () => nn.resnext("50"), 25_028_904],
    ["ResNet-14 for CIFAR", () => nn.cifarResNet({ depth: 14 }), 175_258],
    ["ResNet-56 for CIFAR", () => nn.cifarResNet({ depth: 56 }), 855_770],
    ["ResNet-110 for CIFAR", () => nn.cifarResNet({ depth: 110 }), 1_730_714],
    ["ResNet-14 of width 32", () => nn.cifarResNet({ depth: 14, width: 32 }), 696_618],
  ])("%s has as many parameters as the authors'", (_, make, count) => {
    expect(parameters(nn.uninitialized(make))).toBe(count);
  });

  it("has torchvision's names", () => {
    const names = [
      ...nn
        .uninitialized(() => nn.resnet("50"))
        .namedVariables()
        .keys(),
    ];
    for (const name of [
      "conv1.weight",
      "bn1.running_mean",
      "layer1.0.downsample.0.weight",
      "layer4.2.conv3.weight",
      "fc.bias",
    ])
      expect(names).toContain(name);
  });

  it.each(nn.normKinds)("takes %s norm by one value", async (norm) => {
    const model = nn.cifarResNet({ depth: 8, width: 8, norm });
    const { y } = await compile(({ x }) => ({ y: training(() => model.apply(x as Tensor)) }))({
      x: image([2, 3, 8, 8]),
    });
    expect((y as NDArray).shape).toEqual([2, 10]);
    expect((y as NDArray).toNumbers().every(Number.isFinite)).toBe(true);
  });

  it("folds all batch norms, of an IBN form all but the halves", async () => {
    for (const [options, left] of [
      [{}, 0],
      [{ ibn: [undefined, "a", "b"] as const }, 2],
    ] as const) {
      const model = nn.cifarResNet({ depth: 8, width: 8, ...options });
      const train = compile(({ x }) => ({ y: training(() => model.apply(x as Tensor)) }));
      for (let i = 0; i < 3; i++) await train({ x: image([4, 3, 8, 8]) });
      const { model: folded } = await nn.foldNorms(model);
      expect(
        [...folded.namedModules().values()].filter(
          (m: unknown) => m instanceof nn.IBN || (m instanceof nn.GroupNorm && m.groups === m.width),
        ).length > 0,
      ).toBe(left > 0);
      const x = image([2, 3, 8, 8]);
      expect(relativeError(await outputOf(folded, x), await outputOf(model, x))).toBeLessThan(1e-5);
    }
  });

  it.each(nn.normKinds)("trains with %s norm", async (norm) => {
    const model = nn.cifarResNet({ depth: 8, width: 8, norm, classes: 3 });
    const { losses, moved } = await trainSteps(model, { x: image([3, 3, 8, 8]) }, ({ x }) => model.apply(x as Tensor));
    expect([losses.every(Number.isFinite), moved]).toEqual([true, true]);
  });

  it.each([
    ["resnet", { width: 4 }],
    ["resnet_timm_se", { width: 2, squeeze: 2, squeezeBias: true }],
  ] as const)("%s: a public file gives the reference's logits, and is written again", async (name, options) => {
    const { weights, get } = await modelCase(name);
    const folder = mkdtempSync(join(tmpdir(), "layerwise-resnet-"));
    try {
      const path = join(folder, "model.safetensors");
      await writeSafetensors(path, weights);
      const model = nn.cifarResNet({ depth: 8, classes: 5, ...options });
      await loadSafetensors(model, path);
      expect(relativeError(await outputOf(model, get("x.image")), get("y.logits").toNumbers())).toBeLessThan(1e-5);
      await saveSafetensors(model, path, { layout: "timm" });
      const { tensors } = await readSafetensors(path);
      const counted = [...weights].filter(([key]) => !key.endsWith("num_batches_tracked"));
      expect([...tensors.keys()].sort()).toEqual(counted.map(([key]) => key).sort());
      for (const [key, value] of counted)
        expect(tensors.get(key)).toMatchObject({ shape: value.shape, data: value.data });
      const other = nn.cifarResNet({ depth: 14, classes: 5, ...options });
      await expect(loadSafetensors(other, path)).rejects.toThrow(/misses layer1\.1\.conv1\.weight, .* and \d+ more/);
      await expect(
        loadSafetensors(nn.cifarResNet({ depth: 8, classes: 5, ...options, width: 8 }), path),
      ).rejects.toThrow("the model asks for");
      await expect(saveSafetensors(model, path, { layout: "keras" })).rejects.toThrow(
        'has no layout "keras"; it has layerwise, timm',
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("starts as an identity with zeroInitLast", async () => {
    const model = nn.cifarResNet({ depth: 8, width: 8, zeroInitLast: true });
    expect((await model.stateDict()).get("layer2.0.bn2.weight")?.toNumbers()).toEqual(
      Array.from({ length: 16 }, () => 0),
    );
  });

  it.each<[string, () => unknown, string]>([
    ["a depth that is none", () => nn.cifarResNet({ depth: 21 }), "a depth is 6 D + 2"],
    ["an unknown depth", () => nn.resnet("19" as "18"), "expected a depth of 18, 34, 50, 101, 152"],
    ["an unknown IBN letter", () => nn.resnet("18", { ibn: "z" as "a" }), 'no IBN variant "z"'],
    ["a configuration of the wrong length", () => nn.cifarResNet({ ibn: ["a"] }), "ibn has 1 entries for 3 stages"],
    ["an IBN half without channels", () => nn.ibn(3, { ratio: 0.1 }), "puts 0 of 3 channels first"],
  ])("refuses %s", (_, make, message) => {
    expect(make).toThrow(message);
  });
});
