import { describe, expect, it } from "vitest";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import { compile, grad, inference, NDArray, nn, normalArray, type Tensor, tensor, training } from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";
import { goldenPath } from "../support/golden.js";
import { sourceOf } from "../support/model-case.js";

const { tensors } = await readSafetensors(goldenPath("models/swin.safetensors"));
const below = (prefix: string) =>
  new Map(
    [...tensors].flatMap(([name, value]): [string, NDArray][] =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [],
    ),
  );

/** Outputs and gradients of Σ y² against the reference's. */
async function compare(model: nn.Module, prefix: string): Promise<void> {
  model.loadStateDict(below(`${prefix}.p.`));
  const variables = [...model.namedVariables()];
  const program = compile(({ x }: { x: Tensor }) => {
    const y = model.apply(x);
    const gradients = grad(
      y.square().sum(),
      variables.map(([, variable]) => variable),
    );
    return { y, ...Object.fromEntries(variables.map(([name], i) => [`grad.${name}`, gradients[i] as Tensor])) };
  });
  const results = await program({ x: tensors.get(`${prefix}.x`) as NDArray });
  await program.release();
  const error = (name: string, value: NDArray) =>
    relativeError(value.toNumbers(), (tensors.get(`${prefix}.${name}`) as NDArray).toNumbers());
  expect(error("y", results.y)).toBeLessThan(1e-5);
  for (const [name] of variables) {
    const gradient = (results as unknown as Record<string, NDArray>)[`grad.${name}`] as NDArray;
    expect(error(`grad.${name}`, gradient), name).toBeLessThan(5e-5);
  }
}

describe("Swin", () => {
  const tiny: nn.SwinOptions = { imageSize: 16, width: 8, window: 2, depths: [2, 2], heads: [2, 4], classes: 3 };

  it("gives the reference's numbers and gradients, shifted windows and all, by the authors' names", async () => {
    await compare(nn.swin(tiny), "swin");
  });

  it("reads the authors' files with their masks, and timm's, and writes both", async () => {
    const authors = below("swin.p.");
    const timm = new Map(
      [...authors].map(([name, value]) => [
        name.replace("layers.0.downsample", "layers.1.downsample").replace(/^head\./, "head.fc."),
        value,
      ]),
    );
    const mask = ["layers.0.blocks.1.attn_mask", NDArray.zeros([1])] as const;
    for (const [layout, file] of [
      ["microsoft", new Map([...authors, mask])],
      ["timm", timm],
    ] as const) {
      const model = nn.swin(tiny);
      await nn.loadNamed(model, sourceOf(file));
      for (const [path, value] of await model.stateDict()) expect(value.data).toEqual(authors.get(path)?.data);
      const names = [...nn.namedWeights(model, layout).keys()];
      expect(names.sort()).toEqual([...file.keys()].filter((name) => name !== mask[0]).sort());
    }
    const more = new Map([...timm, ["layers.2.norm.weight", NDArray.zeros([1])] as const]);
    await expect(nn.loadNamed(nn.swin(tiny), sourceOf(more))).rejects.toThrow("has layers.2.norm.weight");
  });

  it.each(nn.normKinds)("takes the norm %s, and trains a step with it", async (norm) => {
    const model = nn.swin({ ...tiny, norm });
    const program = compile(({ x }: { x: Tensor }) => {
      const loss = training(() => model.apply(x).square().mean());
      return { loss, gradient: grad(loss, [model.patch_embed.proj.weight])[0] as Tensor };
    });
    const { loss, gradient } = await program({ x: normalArray({ seed: 1, site: "x" }, [2, 3, 16, 16]) });
    expect(Number.isFinite(loss.item()) && gradient.toNumbers().every(Number.isFinite)).toBe(true);
    await program.release();
  });

  it("refuses sides that windows do not tile, and images of another size", () => {
    expect(() => nn.swin({ ...tiny, window: 3 })).toThrow("stage 0 is 8 patches wide, which windows of 3 do not tile");
    expect(() => nn.swin({ ...tiny, heads: [3, 4] })).toThrow("3 heads do not divide a width of 8");
    expect(() => nn.swin({ ...tiny, heads: [2] })).toThrow("2 depths for 1 heads");
    expect(() => nn.swin(tiny).apply(tensor(NDArray.zeros([1, 3, 8, 8])))).toThrow(
      "expected [batch, channels, 16, 16]",
    );
  });
});

describe("networks without norms", () => {
  it("have the reference's block", async () => {
    await compare(new nn.NormFreeBlock(4, 6, { stride: 2, variance: 1.3, alpha: 0.2, squeeze: 2 }), "nf");
  });

  it("start with the variance that they expect, block by block", async () => {
    const model = nn.nfNet({ blocks: [5], widths: [64], alpha: 0.5 });
    for (const block of model.blocks) block.skip_gain.set(1);
    const program = compile(({ x }: { x: Tensor }) =>
      inference(() => {
        let y = model.stem.reduce((h, layer) => layer.apply(h), x);
        // The first convolution's gain is meant for activations; its input here is plain noise.
        y = y.div(y.square().mean().sqrt());
        const moments = model.blocks.map((block) => {
          y = block.apply(y);
          return y
            .sub(y.mean([0, 2, 3], { keepDims: true }))
            .square()
            .mean();
        });
        return Object.fromEntries(moments.map((moment, i) => [`v${i + 1}`, moment]));
      }),
    );
    const results = await program({ x: normalArray({ seed: 1, site: "noise" }, [8, 3, 16, 16]) });
    await program.release();
    for (const [i, expected] of model.variances.slice(1).entries()) {
      const measured = (results as Record<string, NDArray>)[`v${i + 1}`]?.item() as number;
      expect(measured / expected).toBeGreaterThan(0.6);
      expect(measured / expected).toBeLessThan(1.6);
    }
    expect(model.variances).toEqual([1, 1.25, 1.5, 1.75, 2, 2.25]);
    // Pooled noise is no image: a change of shape is told by its rule alone.
    expect(nn.nfNet({ blocks: [3, 2], widths: [16, 32], alpha: 0.5 }).variances).toEqual([
      1, 1.25, 1.5, 1.75, 1.25, 1.5,
    ]);
  });

  it("start as their shortcuts, whatever their stem, activation and form", async () => {
    const model = nn.nfNet({
      blocks: [1, 1],
      widths: [32, 64],
      stem: "large",
      act: "gelu",
      squeeze: 2,
      bottleneck: { groupWidth: 8 },
    });
    expect([...model.namedModules()].filter(([, module]) => module instanceof nn.Norm)).toEqual([]);
    const program = compile(({ x }: { x: Tensor }) => ({
      y: model.features(x),
      logits: model.apply(x),
    }));
    const { y, logits } = await program({ x: normalArray({ seed: 1, site: "x" }, [2, 3, 32, 32]) });
    expect(y.shape).toEqual([2, 64, 4, 4]);
    expect(logits.shape).toEqual([2, 10]);
    await program.release();
  });

  it("refuse widths that do not fit", () => {
    expect(() => nn.nfNet({ blocks: [1], widths: [16, 32] })).toThrow("1 stages of blocks and 2 widths");
    expect(() => new nn.NormFreeBlock(8, 24, { bottleneck: { groupWidth: 8 } })).toThrow(
      "a group of 8 channels does not divide 12",
    );
  });
});
