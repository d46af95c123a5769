/**
 * GPT-2 keeps linear weights [in, out] and queries, keys and values side by side in one matrix.
 * Source: "Language Models are Unsupervised Multitask Learners", 2019, and its released code.
 */
import { layerNorm } from "../../nn/index.js";
import type { NDArray } from "../../tensor/index.js";
import type { Architecture } from "./architecture.js";
import { type Layout, parts, type Rule, same, stacked, toOurs, transposed } from "./layout.js";
import { plainMLPs } from "./plain-mlps.js";

const block = "model.layers.{l}.";
const turned = (theirs: string, ours: string): Rule => ({
  ...same(theirs, ours),
  split: (value) => [transposed(value)],
  join: ([value]) => transposed(value as NDArray),
});

const layout: Layout = {
  name: "GPT-2",
  prefix: "transformer.",
  ignored: /\.attn\.(masked_)?bias$/,
  rules: [
    same("transformer.wte.weight", "model.embed_tokens.weight"),
    same("transformer.wpe.weight", "model.embed_positions.weight"),
    same("transformer.h.{l}.ln_1.{p}", `${block}input_layernorm.{p}`),
    {
      theirs: "transformer.h.{l}.attn.c_attn.{p}",
      ours: ["q", "k", "v"].map((name) => `${block}self_attn.${name}_proj.{p}`),
      split: (value) => parts(transposed(value), 3),
      join: (values) => transposed(stacked(values)),
    },
    turned("transformer.h.{l}.attn.c_proj.{p}", `${block}self_attn.o_proj.{p}`),
    same("transformer.h.{l}.ln_2.{p}", `${block}post_attention_layernorm.{p}`),
    turned("transformer.h.{l}.mlp.c_fc.{p}", `${block}mlp.up_proj.{p}`),
    turned("transformer.h.{l}.mlp.c_proj.{p}", `${block}mlp.down_proj.{p}`),
    same("transformer.ln_f.{p}", "model.norm.{p}"),
    same("lm_head.{p}"),
  ],
};

/** GPT-2's values (or gradients) by our paths. Throws for names GPT-2 does not have. */
export const fromGPT2 = (values: ReadonlyMap<string, NDArray>): Map<string, NDArray> => toOurs(layout, values);

export const gpt2: Architecture = {
  modelType: "gpt2",
  architectures: ["GPT2LMHeadModel"],
  layout: () => layout,
  options: (config) => {
    for (const key of ["scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention"])
      config.only(key, false);
    config.only("scale_attn_weights", true);
    const width = config.count("n_embd", 768);
    const eps = config.number("layer_norm_epsilon", 1e-5);
    const mlp = config.choice("activation_function", "gelu_new", plainMLPs);
    return {
      layers: config.layers("n_layer", 12),
      width,
      heads: config.count("n_head", 12),
      vocabulary: config.count("vocab_size", 50257),
      context: config.count("n_positions", 1024),
      norm: (n) => layerNorm(n, { eps }),
      positions: "learned",
      mlp: mlp({ hidden: config.optional("n_inner") ?? 4 * width }),
      bias: true,
      tieEmbeddings: config.flag("tie_word_embeddings", true),
    };
  },
};
