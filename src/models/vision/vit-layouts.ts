/** How timm and Hugging Face name a vision transformer's weights, and Hugging Face's `config.json` of one. */
import { Attention, LayerNorm, layerNorm, MLP } from "../../nn/index.js";
import { fail } from "../../tensor/index.js";
import { activations, HFConfig, type JsonObject } from "../pretrained/hf-config.js";
import { type Layout, parts, type Rule, same, stacked } from "../pretrained/layout.js";
import { resizePositions, type Size } from "./patch-embedding.js";
import type { ViT, ViTOptions } from "./vit.js";

const ours = "blocks.{l}.";

function positions(theirs: string, model: ViT): Rule {
  const extra = Number(model.cls_token !== undefined) + Number(model.dist_token !== undefined);
  return { ...same(theirs, "pos_embed"), split: (table) => [resizePositions(table, extra, model.patch_embed.grid)] };
}

/** timm keeps queries, keys and values below each other in one matrix. */
const timm = (model: ViT): Layout => ({
  name: "timm",
  rules: [
    positions("pos_embed", model),
    ...["cls_token", "dist_token", "patch_embed.proj.{p}", "norm_pre.{n}", "norm.{n}"].map((name) => same(name)),
    ...["fc_norm.{n}", "head.{p}", "head_dist.{p}"].map((name) => same(name)),
    same(`${ours}norm1.{n}`, `${ours}input_layernorm.{n}`),
    {
      theirs: `${ours}attn.qkv.{p}`,
      ours: ["q", "k", "v"].map((name) => `${ours}self_attn.${name}_proj.{p}`),
      split: (value) => parts(value, 3),
      join: stacked,
    },
    same(`${ours}attn.proj.{p}`, `${ours}self_attn.o_proj.{p}`),
    same(`${ours}norm2.{n}`, `${ours}post_attention_layernorm.{n}`),
    same(`${ours}mlp.fc1.{p}`, `${ours}mlp.up_proj.{p}`),
    same(`${ours}mlp.fc2.{p}`, `${ours}mlp.down_proj.{p}`),
  ],
});

/** Files of the bare model lack the prefix and may have a pooler, which no classifier reads. */
function huggingFace(model: ViT): Layout {
  const family = model.dist_token ? "deit" : "vit";
  const theirs = `${family}.encoder.layer.{l}.`;
  const [first, second] = model.dist_token ? ["cls_classifier", "distillation_classifier"] : ["classifier", undefined];
  return {
    name: "huggingface",
    prefix: `${family}.`,
    ignored: /^((vit|deit)\.)?pooler\.dense\.(weight|bias)$/,
    rules: [
      same(`${family}.embeddings.cls_token`, "cls_token"),
      same(`${family}.embeddings.distillation_token`, "dist_token"),
      positions(`${family}.embeddings.position_embeddings`, model),
      same(`${family}.embeddings.patch_embeddings.projection.{p}`, "patch_embed.proj.{p}"),
      same(`${theirs}layernorm_before.{n}`, `${ours}input_layernorm.{n}`),
      ...["query", "key", "value"].map((name) =>
        same(`${theirs}attention.attention.${name}.{p}`, `${ours}self_attn.${name[0]}_proj.{p}`),
      ),
      same(`${theirs}attention.output.dense.{p}`, `${ours}self_attn.o_proj.{p}`),
      same(`${theirs}layernorm_after.{n}`, `${ours}post_attention_layernorm.{n}`),
      same(`${theirs}intermediate.dense.{p}`, `${ours}mlp.up_proj.{p}`),
      same(`${theirs}output.dense.{p}`, `${ours}mlp.down_proj.{p}`),
      same(`${family}.layernorm.{n}`, "norm.{n}"),
      same(`${first}.{p}`, "head.{p}"),
      ...(second ? [same(`${second}.{p}`, "head_dist.{p}")] : []),
    ],
  };
}

export const vitLayouts = (model: ViT): readonly Layout[] => [timm(model), huggingFace(model)];

/** What a `config.json` of type "vit" or "deit" says. Throws a "file" error for a value that is not supported. */
export function vitOptions(values: JsonObject, where = "config.json"): ViTOptions {
  const config = new HFConfig(values, where);
  const distilled = config.choice("model_type", "", { vit: false, deit: true });
  config.only("qkv_bias", true);
  const heads = distilled ? deitHeads : vitHeads;
  const names = config.list("architectures") ?? [distilled ? "DeiTModel" : "ViTModel"];
  const name = names.map(String).find((known) => Object.hasOwn(heads, known));
  if (name === undefined)
    return config.refuse(
      "architectures",
      `${JSON.stringify(names)} is not supported; known: ${Object.keys(heads).join(", ")}`,
    );
  const eps = config.number("layer_norm_eps", 1e-12);
  const width = config.count("hidden_size", 768);
  return {
    imageSize: imageSizeOf(config),
    patchSize: config.count("patch_size", 16),
    inputs: config.count("num_channels", 3),
    width,
    layers: config.layers("num_hidden_layers", 12),
    heads: config.count("num_attention_heads", 12),
    hidden: config.count("intermediate_size", 3072),
    classes: heads[name] ? labelsOf(config) : 0,
    norm: (n) => layerNorm(n, { eps }),
    mlp: config.choice("hidden_act", "gelu", activations),
    distilled,
  };
}

/** Whether an architecture has a head. */
const vitHeads: Readonly<Record<string, boolean>> = { ViTForImageClassification: true, ViTModel: false };
const deitHeads: Readonly<Record<string, boolean>> = {
  DeiTForImageClassificationWithTeacher: true,
  DeiTModel: false,
};

const labelsOf = (config: HFConfig): number =>
  config.values.num_labels !== undefined
    ? config.count("num_labels")
    : Object.keys(config.object("id2label")?.values ?? { 0: "", 1: "" }).length;

function imageSizeOf(config: HFConfig): Size {
  const sides = config.values.image_size;
  if (!Array.isArray(sides)) return config.count("image_size", 224);
  const [height, width] = sides as unknown[];
  if (sides.length !== 2 || typeof height !== "number" || typeof width !== "number")
    return config.refuse("image_size", `expected a number or two, got ${JSON.stringify(sides)}`);
  return [height, width];
}

export function describeViT(model: ViT): JsonObject {
  const { blocks, norm, patch_embed: patches, dist_token: distilled, head, options } = model;
  if (!(norm instanceof LayerNorm) || model.norm_pre || !norm.weight || !norm.bias || model.layouts().length === 0)
    return fail(
      "argument",
      "config.json of a ViT has only LayerNorms with gain and bias, Pre-LN blocks and a class token; save the weights alone with saveSafetensors",
    );
  const [first] = blocks;
  const [attention, mlp] = [first?.self_attn, first?.mlp];
  if (!(attention instanceof Attention && mlp instanceof MLP))
    return fail("argument", "config.json of a ViT needs at least one plain block");
  const [height, width] = patches.grid.map((n) => n * patches.patchSize) as [number, number];
  const family = distilled ? "DeiT" : "ViT";
  const withHead = distilled ? "ForImageClassificationWithTeacher" : "ForImageClassification";
  const act = Object.entries(activations).find(([, mlpName]) => mlpName === (options.mlp ?? "gelu"));
  return {
    architectures: [`${family}${head ? withHead : "Model"}`],
    model_type: family.toLowerCase(),
    hidden_size: patches.proj.outputs,
    num_hidden_layers: blocks.length,
    num_attention_heads: attention.heads,
    intermediate_size: mlp.up_proj.outputs,
    hidden_act: act?.[0],
    layer_norm_eps: norm.eps,
    image_size: height === width ? height : [height, width],
    patch_size: patches.patchSize,
    num_channels: patches.proj.inputs,
    qkv_bias: true,
    ...(head && {
      id2label: Object.fromEntries(Array.from({ length: head.outputs }, (_, i) => [i, `LABEL_${i}`])),
      label2id: Object.fromEntries(Array.from({ length: head.outputs }, (_, i) => [`LABEL_${i}`, i])),
    }),
  };
}
