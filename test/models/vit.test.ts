import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  loadSafetensors,
  NDArray,
  nn,
  readSafetensors,
  savePretrained,
  saveSafetensors,
  type Tensor,
  vitFromPretrained,
  writeSafetensors,
} from "../../src/index.js";
import { toOurs } from "../../src/models/pretrained/layout.js";
import { relativeError } from "../../src/studies/golden/case.js";
import { errorOf, gradientsOf, image, modelCase, sourceOf, trainSteps } from "../support/model-case.js";

const scratch = mkdtempSync(join(tmpdir(), "layerwise-vit-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const nothing = NDArray.zeros([]);
const big = { imageSize: 12, patchSize: 4, width: 12, layers: 2, heads: 3, hidden: 20, classes: 5 } as const;
const small = { ...big, width: 8, layers: 1, heads: 2, hidden: 12 } as const;
const apply =
  (model: nn.ViT, name = "image") =>
  (inputs: Record<string, Tensor>) =>
    model.apply(inputs[name] as Tensor);

describe("vision transformers", () => {
  it.each([
    ["vit", big],
    ["vit_mean", { ...small, pool: "mean" }],
    ["vit_huggingface", small],
    ["deit_huggingface", { ...small, distilled: true }],
  ] as const)("%s: a public file gives the reference's logits", async (name, options) => {
    const { weights, get } = await modelCase(name);
    const path = join(scratch, `${name}.safetensors`);
    await writeSafetensors(path, weights);
    const model = nn.vit(options);
    await loadSafetensors(model, path);
    expect(await errorOf({ image: get("x.image") }, apply(model), get("y.logits"))).toBeLessThan(1e-5);
    // Written in the layout it came in, it is the same file.
    const again = join(scratch, `${name}-again.safetensors`);
    await saveSafetensors(model, again, { layout: name.endsWith("huggingface") ? "huggingface" : "timm" });
    const { tensors } = await readSafetensors(again);
    expect([...tensors.keys()].sort()).toEqual([...weights.keys()].sort());
    for (const [key, value] of weights) expect(tensors.get(key)?.data).toEqual(value.data);
  });

  it("has the reference's gradients", async () => {
    const { weights, gradients, get } = await modelCase("vit");
    const model = nn.vit(big);
    await nn.loadNamed(model, sourceOf(weights));
    const inputs = { image: get("x.image"), loss_weights: get("loss_weights") };
    const found = await gradientsOf(model, inputs, apply(model));
    const [timm] = model.layouts();
    const expected = toOurs(timm as never, gradients);
    expect(expected.size).toBeGreaterThan(20);
    // A bias of the keys moves no softmax: its gradient is rounding alone.
    for (const [path, value] of expected)
      if (!path.endsWith("k_proj.bias"))
        expect(relativeError((found.get(path) as NDArray).toNumbers(), value.toNumbers()), path).toBeLessThan(1e-5);
  });

  it("resizes positions to another image, rows and columns apart", async () => {
    const { weights, get } = await modelCase("vit");
    const model = nn.vit({ ...big, imageSize: [16, 20] });
    await nn.loadNamed(model, sourceOf(weights));
    expect(await errorOf({ wide: get("x.wide") }, apply(model, "wide"), get("y.wide"))).toBeLessThan(1e-5);
  });

  it("is a Hugging Face folder, written and read again", async () => {
    for (const distilled of [false, true]) {
      const model = nn.vit({ ...small, distilled, seed: 3 });
      const folder = join(scratch, `folder-${distilled}`);
      await savePretrained(model, folder);
      const again = await vitFromPretrained(folder);
      const weights = await model.stateDict();
      for (const [path, value] of await again.stateDict()) expect(value.data).toEqual(weights.get(path)?.data);
      expect((await vitFromPretrained(folder, { imageSize: 16 })).pos_embed.dim(1)).toBe((distilled ? 2 : 1) + 16);
    }
  });

  it("keeps a fresh head where it is skipped", async () => {
    const { weights } = await modelCase("vit");
    const model = nn.vit({ ...big, classes: 3 });
    await nn.loadNamed(model, sourceOf(weights), { skip: "head.*" });
    expect((await model.stateDict()).get("blocks.0.mlp.up_proj.weight")?.data).toEqual(
      weights.get("blocks.0.mlp.fc1.weight")?.data,
    );
    await expect(nn.loadNamed(model, sourceOf(weights))).rejects.toThrow(
      '"head.bias" gives head.bias the shape [5]; the model asks for [3]',
    );
  });

  it("names what is missing and what has no place", async () => {
    const { weights } = await modelCase("vit");
    const less = new Map([...weights].filter(([name]) => name !== "blocks.1.attn.qkv.weight"));
    await expect(nn.loadNamed(nn.vit(big), sourceOf(less))).rejects.toThrow(
      "misses blocks.1.self_attn.q_proj.weight, blocks.1.self_attn.k_proj.weight",
    );
    const more = new Map([...weights, ["blocks.7.norm1.weight", weights.get("norm.weight") as NDArray]]);
    await expect(nn.loadNamed(nn.vit(big), sourceOf(more))).rejects.toThrow(
      "has blocks.7.norm1.weight, for which the model has no place (names read as those of timm)",
    );
  });

  it.each(nn.normKinds)("trains with %s norm", async (norm) => {
    const model = nn.vit({ ...small, classes: 3, norm });
    const { losses, moved } = await trainSteps(model, { image: image(3, 3, 12, 12) }, apply(model));
    expect([losses.every(Number.isFinite), moved]).toEqual([true, true]);
  });

  it.each(["pre", "post", "peri", "output", "mix", "lns", "parallel"] as const)(
    "learns with placement %s, also under its own names",
    async (placement) => {
      const model = nn.vit({ ...small, layers: 4, classes: 3, placement });
      const { losses } = await trainSteps(model, { image: image(3, 3, 12, 12) }, apply(model), 25);
      expect(losses.at(-1)).toBeLessThan(losses[0] as number);
      const path = join(scratch, `${placement}.safetensors`);
      await saveSafetensors(model, path);
      const again = nn.vit({ ...small, layers: 4, classes: 3, placement, seed: 1 });
      await loadSafetensors(again, path);
      for (const [name, value] of await again.stateDict())
        expect(value.data).toEqual((await model.stateDict()).get(name)?.data);
      if (placement !== "pre")
        await expect(saveSafetensors(model, path, { layout: "timm" })).rejects.toThrow('has no layout "timm"');
    },
  );

  it.each([
    ["a class token", {}],
    ["two tokens", { distilled: true }],
    ["a norm on the embeddings", { embedNorm: true }],
  ] as const)("becomes Pre-RMSNorm and Pre-CRMSNorm, with %s", async (_, options) => {
    const { weights } = await modelCase("vit");
    const model = nn.vit({ ...big, ...options });
    await nn.loadNamed(model, sourceOf(weights), {
      skip: ["dist_token", "head_dist.*", "norm*.*", "pos_embed"],
    });
    for (const convert of [nn.toPreRMSNorm, nn.toPreCRMSNorm]) {
      const { report } = await convert(model);
      expect(report.difference?.relative).toBeLessThan(1e-5);
    }
  });

  it("is not converted where the mean of the stream is seen", async () => {
    await expect(nn.toPreRMSNorm(nn.vit({ ...small, pool: "mean" }))).rejects.toThrow("does not read the stream");
    class Peeking extends nn.ViT {
      override embed(x: Tensor): Tensor {
        return super.embed(x).add(this.pos_embed.square());
      }
    }
    await expect(nn.toPreRMSNorm(new Peeking(small))).rejects.toThrow("writes to the residual stream");
  });

  it("folds batch norms into what reads them", async () => {
    const model = nn.vit({ ...small, layers: 2, classes: 3, norm: "batch" });
    const x = image(3, 3, 12, 12);
    await trainSteps(model, { image: x }, apply(model), 5);
    const { model: folded, folded: gone } = await nn.foldNorms(model);
    expect(gone).toEqual([
      "blocks.0.input_layernorm",
      "blocks.0.post_attention_layernorm",
      "blocks.1.input_layernorm",
      "blocks.1.post_attention_layernorm",
      "norm",
    ]);
    const share = (given: Record<string, Tensor>) => {
      const [a, b] = [apply(folded)(given), apply(model)(given)];
      return a.sub(b).abs().max().div(b.abs().max());
    };
    expect(await errorOf({ image: x }, share, nothing)).toBeLessThan(1e-5);
  });

  it("gives the answers of both heads to learn from a teacher", async () => {
    const model = nn.vit({ ...small, distilled: true });
    const x = image(2, 3, 12, 12);
    const mean = (inputs: Record<string, Tensor>) => {
      const [a, b] = model.heads(inputs.image as Tensor) as [Tensor, Tensor];
      return a
        .add(b)
        .div(2)
        .sub(model.apply(inputs.image as Tensor))
        .abs()
        .max();
    };
    expect(await errorOf({ image: x }, mean, nothing)).toBe(0);
  });

  it.each<[string, () => unknown, string]>([
    ["patches that do not divide the image", () => nn.vit({ ...small, imageSize: 13 }), "do not divide an image"],
    ["a mean with two tokens", () => nn.vit({ ...small, distilled: true, pool: "mean" }), "reads its two tokens"],
    ["an unknown norm", () => nn.vit({ ...small, norm: "lear" as "layer" }), 'norm: there is no "lear"'],
    ["a configuration of another kind", () => nn.vitOptions({ model_type: "swin" }), "known: vit, deit"],
    [
      "an architecture without its head",
      () => nn.vitOptions({ model_type: "vit", architectures: ["ViTForMaskedImageModeling"] }),
      "is not supported; known: ViTForImageClassification, ViTModel",
    ],
    [
      "queries without biases",
      () => nn.vitOptions({ model_type: "vit", qkv_bias: false }),
      "qkv_bias: false is not supported",
    ],
  ])("refuses %s", (_, make, message) => {
    expect(make).toThrow(message);
  });

  it("refuses images of another size, and folders that are none", async () => {
    const model = nn.vit(small);
    await expect(errorOf({ image: image(1, 3, 16, 12) }, apply(model), nothing)).rejects.toThrow(
      "expected [batch, 3, 12, 12], got [1, 3, 16, 12]",
    );
    writeFileSync(join(scratch, "text.safetensors"), "none");
    await expect(loadSafetensors(model, join(scratch, "text.safetensors"))).rejects.toThrow("safetensors");
    await expect(savePretrained(nn.vit({ ...small, placement: "peri" }), join(scratch, "peri"))).rejects.toThrow(
      "config.json of a ViT has only LayerNorms",
    );
  });
});
