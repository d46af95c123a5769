import { describe, expect, it } from "vitest";
import { type NDArray, nn, type Tensor, training } from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";
import { errorOf, gradientsOf, image, modelCase, sourceOf, trainSteps } from "../support/model-case.js";

const small = { depth: 16, growth: 4, classes: 5 } as const;
const apply =
  (model: nn.DenseNet) =>
  ({ image }: Record<string, Tensor>) =>
    model.apply(image as Tensor);
const parameters = (model: nn.Module) => model.parameters().reduce((sum, { size }) => sum + size, 0);
const names = (model: nn.Module) => [...model.namedVariables().keys()];

describe("densely connected networks", () => {
  it("give the reference's logits and gradients, in training mode too", async () => {
    const { weights, gradients, get } = await modelCase("densenet");
    const model = nn.cifarDenseNet(small);
    await nn.loadNamed(model, sourceOf(weights));
    const x = { image: get("x.image") };
    expect(await errorOf(x, apply(model), get("y.logits"))).toBeLessThan(1e-5);
    const found = await gradientsOf(model, { ...x, loss_weights: get("loss_weights") }, apply(model));
    expect(gradients.size).toBeGreaterThan(10);
    for (const [path, value] of gradients)
      expect(relativeError((found.get(path) as NDArray).toNumbers(), value.toNumbers()), path).toBeLessThan(1e-5);
    const inTraining = (given: Record<string, Tensor>) => training(() => apply(model)(given));
    expect(await errorOf(x, inTraining, get("t.logits"))).toBeLessThan(1e-5);
  });

  it("read torchvision's old names, and leave counters of batches out", async () => {
    const { weights, get } = await modelCase("densenet");
    const old = new Map(
      [...weights].map(([name, value]) => [name.replace(/(denselayer\d+\.(?:norm|conv))([12]\.)/, "$1.$2"), value]),
    );
    expect(old.has("features.denseblock1.denselayer2.norm.1.running_mean")).toBe(true);
    old.set("features.norm5.num_batches_tracked", weights.get("classifier.bias") as NDArray);
    const model = nn.cifarDenseNet(small);
    await nn.loadNamed(model, sourceOf(old));
    expect(await errorOf({ image: get("x.image") }, apply(model), get("y.logits"))).toBeLessThan(1e-5);
  });

  it("give the reference's logits in form IBN-a", async () => {
    const { weights, get } = await modelCase("densenet_ibn_a");
    const model = nn.cifarDenseNet({ ...small, depth: 10, ibn: "a" });
    await nn.loadNamed(model, sourceOf(weights));
    expect(await errorOf({ image: get("x.image") }, apply(model), get("y.logits"))).toBeLessThan(1e-5);
  });

  it.each<[string, () => nn.DenseNet, number]>([
    ["DenseNet-121", () => nn.densenet("121"), 7_978_856],
    ["DenseNet-169", () => nn.densenet("169"), 14_149_480],
    ["DenseNet-201", () => nn.densenet("201"), 20_013_928],
    ["DenseNet-121-IBN-a", () => nn.densenet("121", { ibn: "a" }), 7_978_856],
    ["DenseNet-BC-100, growth 12", () => nn.cifarDenseNet(), 769_162],
  ])("%s has as many parameters as the authors'", (_, make, count) => {
    expect(parameters(nn.uninitialized(make))).toBe(count);
  });

  it("has torchvision's names, and the authors' for IBN-a in every third layer of the first three blocks", () => {
    const model = nn.uninitialized(() => nn.densenet("121", { ibn: "a" }));
    const all = names(model);
    for (const name of [
      "features.conv0.weight",
      "features.norm0.running_var",
      "features.denseblock4.denselayer16.conv2.weight",
      "features.transition3.norm.bias",
      "features.norm5.weight",
      "classifier.bias",
    ])
      expect(all).toContain(name);
    const mixed = all.filter((name) => name.endsWith(".IN.weight"));
    expect(mixed).toHaveLength(2 + 4 + 8);
    expect(mixed).toContain("features.denseblock2.denselayer4.norm1.IN.weight");
  });

  it("takes the other variants of an IBN by the value that ResNet takes", () => {
    const kinds = (options: nn.DenseNetOptions) => {
      const { features } = nn.densenet("121", options);
      const [t1, t3] = [features.transition1, features.transition3] as unknown as [
        nn.DenseTransition,
        nn.DenseTransition,
      ];
      const kind = (norm: unknown) => (norm as nn.Module).constructor.name;
      return [features.norm0, t1.norm, t3.norm, features.norm5].map(kind);
    };
    expect(kinds({ ibn: "b" })).toEqual(["GroupNorm", "GroupNorm", "BatchNorm", "BatchNorm"]);
    expect(kinds({ ibn: [undefined, undefined, { afterAdd: "ibn" }, { afterAdd: "in" }] })).toEqual([
      "BatchNorm",
      "BatchNorm",
      "IBN",
      "GroupNorm",
    ]);
  });

  it.each(nn.normKinds)("trains with %s norm", async (norm) => {
    const model = nn.cifarDenseNet({ ...small, depth: 10, norm, classes: 3 });
    const { losses, moved } = await trainSteps(model, { image: image(3, 3, 8, 8) }, apply(model));
    expect([losses.every(Number.isFinite), moved]).toEqual([true, true]);
  });

  it("learns", async () => {
    const model = nn.cifarDenseNet({ ...small, classes: 3, dropout: 0.1 });
    const { losses } = await trainSteps(model, { image: image(3, 3, 8, 8) }, apply(model), 15);
    expect(losses.at(-1)).toBeLessThan(0.5 * (losses[0] as number));
  });

  it("folds the norms behind convolutions, exactly", async () => {
    const model = nn.cifarDenseNet({ ...small, depth: 10 });
    await trainSteps(model, { image: image(3, 3, 8, 8) }, apply(model), 3);
    const { model: folded, folded: gone } = await nn.foldNorms(model);
    expect(gone).toContain("features.denseblock1.denselayer1.norm2");
    const difference = (given: Record<string, Tensor>) => apply(folded)(given).sub(apply(model)(given)).abs().max();
    const scale = (given: Record<string, Tensor>) => apply(model)(given).abs().max();
    const quotient = (given: Record<string, Tensor>) => difference(given).div(scale(given));
    const zero = { shape: [], toNumbers: () => [0] } as unknown as NDArray;
    expect(await errorOf({ image: image(2, 3, 8, 8) }, quotient, zero)).toBeLessThan(1e-5);
  });

  it.each<[string, () => unknown, string]>([
    ["an unknown depth", () => nn.densenet("122" as "121"), "expected a depth of 121, 169, 201"],
    ["a depth that is none", () => nn.cifarDenseNet({ depth: 21 }), "a depth is 6 D + 4"],
    ["an IBN per stage of the wrong length", () => nn.cifarDenseNet({ ibn: ["a"] }), "ibn has 1 entries for 3 stages"],
    ["an unknown IBN letter", () => nn.densenet("121", { ibn: "z" as "a" }), 'densenet: there is no IBN variant "z"'],
  ])("refuses %s", (_, make, message) => {
    expect(make).toThrow(message);
  });
});
