/** The inpainting networks: names, shapes, an adversarial step, exact resume, what is refused. */
import { describe, expect, it } from "vitest";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import {
  compile,
  grad,
  images,
  NDArray,
  nn,
  optim,
  stopGradient,
  type Tensor,
  training,
  type Variable,
} from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";
import { goldenPath } from "../support/golden.js";

const pictures = (count: number, size = 32, first = 0): NDArray => {
  const data = Array.from({ length: count }, (_, i) => images.scenePicture(first + i, { size }));
  return NDArray.from(
    data.flatMap((picture) => Array.from(picture.data)),
    "float32",
    [count, 3, size, size],
  );
};
const masks = (count: number, size = 32): NDArray => {
  const data = Array.from({ length: count }, (_, index) =>
    images.rectangleMask([size, size], new images.Draws({ seed: 0, index }, "masks")),
  );
  return nn.checkHoles(
    NDArray.from(
      data.flatMap((mask) => Array.from(mask.data)),
      "float32",
      [count, 1, size, size],
    ),
  );
};

/** One update of both networks, as in the paper: each sees the other as it was before. */
function adversarial(generator: nn.InpaintGenerator, discriminator: nn.PatchDiscriminator) {
  const optimizers = {
    g: optim.adam(generator.parameters(), { learningRate: 1e-3, betas: [0, 0.9] }),
    d: optim.adam(discriminator.parameters(), { learningRate: 1e-4, betas: [0, 0.9] }),
  };
  const step = compile(({ gt, mask }: { gt: Tensor; mask: Tensor }) =>
    training(() => {
      const pred = generator.apply(gt, mask);
      const lossD = nn.discriminatorLoss(discriminator.logits(gt), discriminator.logits(stopGradient(pred)));
      const l1 = nn.holeL1(gt, pred, mask);
      const lossG = l1.add(nn.generatorLoss(discriminator.logits(pred)).mul(0.1));
      optimizers.d.update(grad(lossD, discriminator.parameters()));
      optimizers.g.update(grad(lossG, generator.parameters()));
      return { lossD, lossG, l1 };
    }),
  );
  return { step, optimizers };
}
const networks = (seed = 0) =>
  [nn.inpaintGenerator({ width: 4, blocks: 1, seed }), nn.patchDiscriminator({ width: 4, seed })] as const;

describe("the generator", () => {
  it("has the names of the authors' checkpoints, in their order", async () => {
    const { tensors } = await readSafetensors(goldenPath("region-norm/generator_tiny.safetensors"));
    const theirs = [...tensors.keys()].filter((name) => name.startsWith("param.")).map((name) => name.slice(6));
    const ours = [...nn.inpaintGenerator({ width: 4, blocks: 1 }).namedVariables().keys()];
    expect(ours.sort()).toEqual(theirs.sort());
  });

  it("does not see what is in the hole, and gives values from 0 to 1 at the image's size", async () => {
    const [generator] = networks();
    const [gt, mask] = [pictures(2), masks(2)];
    const other = NDArray.from(
      gt.toNumbers().map((v, i) => (mask.at(Math.floor(i / 3072) * 1024 + (i % 1024)) ? 1 - v : v)),
      "float32",
      gt.shape,
    );
    const program = compile(({ gt, mask }: { gt: Tensor; mask: Tensor }) => ({ y: generator.apply(gt, mask) }));
    const { y } = await program({ gt, mask });
    expect(y.shape).toEqual([2, 3, 32, 32]);
    expect(y.toNumbers().every((v) => v >= 0 && v <= 1)).toBe(true);
    expect((await program({ gt: other, mask })).y.toNumbers()).toEqual(y.toNumbers());
    const { y: taller } = await program({ gt: pictures(1, 48), mask: masks(1, 48) });
    expect(taller.shape).toEqual([1, 3, 48, 48]);
    await program.release();
  });

  it.each([0, 1])("trains with masks of %d alone, finite", async (value) => {
    const [generator] = networks();
    const program = compile(({ gt, mask }: { gt: Tensor; mask: Tensor }) => {
      const loss = nn.holeL1(gt, generator.apply(gt, mask), mask);
      const gradients = grad(loss, generator.parameters());
      return { loss, finite: gradients.map((g) => g.isFinite().all()).reduce((a, b) => a.and(b)) };
    });
    const mask = NDArray.from(
      Array.from({ length: 1024 }, () => value),
      "float32",
      [1, 1, 32, 32],
    );
    const { loss, finite } = await program({ gt: pictures(1), mask });
    expect(Boolean(finite.item())).toBe(true);
    expect(loss.item() === 0).toBe(value === 0);
    await program.release();
  });

  it("takes other norms by one value, and region norms back", () => {
    const [generator] = networks();
    const before = [...generator.namedVariables().keys()];
    nn.swapNorms(generator, "batch");
    expect(generator.encoder_in1).toBeInstanceOf(nn.BatchNorm);
    nn.swapNorms(generator, nn.regionNorms({ firstN: 3 }));
    expect([...generator.namedVariables().keys()]).toEqual(before);
  });

  it.each([
    ["sides that are no multiples of 4", [1, 3, 30, 32], [1, 1, 30, 32], "sides that are multiples of 4"],
    ["a mask of another size", [1, 3, 32, 32], [1, 1, 16, 32], "a mask of the image's size [32, 32]"],
    ["a mask of another batch", [2, 3, 32, 32], [1, 1, 32, 32], "expected a mask [2, 1, height, width]"],
    ["a mask of three channels", [1, 3, 32, 32], [1, 3, 32, 32], "got [1, 3, 32, 32]"],
    ["maps too small to reflect", [1, 3, 8, 8], [1, 1, 8, 8], "ReflectionPad2d at middle.0.conv_block.0: reflecting 2"],
  ])("refuses %s", async (_, image, mask, message) => {
    const [generator] = networks();
    const program = compile(({ gt, mask }: { gt: Tensor; mask: Tensor }) => ({ y: generator.apply(gt, mask) }));
    await expect(program({ gt: NDArray.zeros(image), mask: NDArray.zeros(mask) })).rejects.toThrow(message);
  });

  it("refuses no blocks", () => {
    expect(() => nn.inpaintGenerator({ blocks: 0 })).toThrow("whole number of blocks from 1, got 0");
  });
});

describe("the discriminator", () => {
  it("gives a map of probabilities, and refuses images too small for one patch", async () => {
    const discriminator = nn.patchDiscriminator({ width: 4 });
    const program = compile(({ x }: { x: Tensor }) => ({ y: discriminator.apply(x) }));
    const { y } = await program({ x: pictures(2, 40) });
    expect(y.shape).toEqual([2, 1, 3, 3]);
    expect(y.toNumbers().every((p) => p > 0 && p < 1)).toBe(true);
    await expect(program({ x: pictures(1, 20) })).rejects.toThrow("sides from 24, got [1, 3, 20, 20]");
    await program.release();
    const names = [...discriminator.namedVariables().keys()].filter((name) => name.startsWith("conv1."));
    const theirs = ["conv1.0.weight_orig", "conv1.0.weight_u", "conv1.0.weight_v"];
    const ours = nn.plainWeightNames(new Map(theirs.map((name) => [name, NDArray.zeros([1])])));
    expect(names.sort()).toEqual([...ours.keys()].sort());
  });
});

describe("training both", () => {
  it("moves each network by its own loss alone, and the hole's error falls", async () => {
    const [generator, discriminator] = networks();
    const changed = async (variables: readonly Variable[], run: () => Promise<unknown>) => {
      const before = await Promise.all(variables.map(async (v) => (await v.data()).toNumbers().join()));
      await run();
      const after = await Promise.all(variables.map(async (v) => (await v.data()).toNumbers().join()));
      return after.filter((value, i) => value !== before[i]).length / variables.length;
    };
    const [gt, mask] = [pictures(4), masks(4)];
    const { step } = adversarial(generator, discriminator);
    expect(await changed([...generator.parameters(), ...discriminator.parameters()], () => step({ gt, mask }))).toBe(1);
    const losses: number[] = [];
    for (let i = 0; i < 40; i++) {
      const { l1, lossD, lossG } = await step({ gt, mask });
      losses.push(l1.item());
      expect([lossD.item(), lossG.item()].every(Number.isFinite)).toBe(true);
    }
    await step.release();
    expect(losses.at(-1)).toBeLessThan(0.8 * (losses[0] as number));
  });

  it("goes on exactly from saved states of both networks and both optimisers", async () => {
    const [first, second] = [networks(0), networks(1)];
    const [a, b] = [adversarial(...first), adversarial(...second)];
    const batch = { gt: pictures(2), mask: masks(2) };
    for (let i = 0; i < 2; i++) await a.step(batch);
    for (const i of [0, 1] as const) second[i].loadStateDict(await first[i].stateDict());
    for (const key of ["g", "d"] as const)
      for (const [name, variable] of a.optimizers[key].state())
        b.optimizers[key]
          .state()
          .get(name)
          ?.set(await variable.data());
    for (let i = 0; i < 2; i++) {
      const [x, y] = [await a.step(batch), await b.step(batch)];
      expect([y.lossD.item(), y.lossG.item()]).toEqual([x.lossD.item(), x.lossG.item()]);
    }
    await a.step.release();
    await b.step.release();
  });
});

describe("losses", () => {
  it("are the binary cross-entropies of the probabilities", async () => {
    const [real, fake] = [NDArray.from([[0.3, -2]]), NDArray.from([[1.5, 30]])];
    const program = compile(({ real, fake }: { real: Tensor; fake: Tensor }) => ({
      d: nn.discriminatorLoss(real, fake),
      g: nn.generatorLoss(fake),
      sure: nn.generatorLoss(fake.mul(-10)),
    }));
    const { d, g, sure } = await program({ real, fake });
    await program.release();
    const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));
    const right = -(Math.log(sigmoid(0.3)) + Math.log(sigmoid(-2))) / 2;
    const wrong = -(Math.log(1 - sigmoid(1.5)) - 30) / 2;
    expect(relativeError([d.item()], [(right + wrong) / 2])).toBeLessThan(1e-5);
    expect(relativeError([g.item()], [-Math.log(sigmoid(1.5)) / 2])).toBeLessThan(1e-5);
    expect(sure.item()).toBeCloseTo((15 + 300) / 2, 3); // where log D is log 0
  });

  it("hole L1 counts the hole alone, and is 0 without one", async () => {
    const program = compile(({ gt, pred, mask }: Record<"gt" | "pred" | "mask", Tensor>) => ({
      loss: nn.holeL1(gt, pred, mask),
    }));
    const [gt, pred] = [
      NDArray.zeros([1, 3, 2, 2]),
      NDArray.from(
        Array.from({ length: 12 }, (_, i) => i),
        "float32",
        [1, 3, 2, 2],
      ),
    ];
    const mask = (values: number[]) => NDArray.from(values, "float32", [1, 1, 2, 2]);
    expect((await program({ gt, pred, mask: mask([0, 1, 0, 0]) })).loss.item()).toBeCloseTo((1 + 5 + 9) / 3, 5);
    expect((await program({ gt, pred, mask: mask([0, 0, 0, 0]) })).loss.item()).toBe(0);
    await expect(program({ gt, pred, mask: NDArray.zeros([1, 3, 2, 2]) })).rejects.toThrow("holeL1: expected a mask");
    await program.release();
  });
});
