/**
 * GPT-NeoX and Pythia: parallel sublayers, a quarter of every head turns, and queries, keys and values lie in one matrix
 * head by head. Source: "GPT-NeoX-20B: An Open-Source Autoregressive Language Model", 2022.
 */
import { geluTanhMLP, layerNorm, parallel, pre } from "../../nn/index.js";
import type { NDArray } from "../../tensor/index.js";
import type { Architecture } from "./architecture.js";
import { type Layout, parts, same, stacked } from "./layout.js";
import { rotaryOf } from "./llama.js";
import { plainMLPs } from "./plain-mlps.js";

const [theirs, ours] = ["gpt_neox.layers.{l}.", "model.layers.{l}."];

const layoutFor = (heads: number): Layout => ({
  name: "GPT-NeoX",
  prefix: "gpt_neox.",
  ignored: /\.attention\.((masked_)?bias|rotary_emb\.inv_freq)$/,
  rules: [
    same("gpt_neox.embed_in.weight", "model.embed_tokens.weight"),
    ...["input_layernorm", "post_attention_layernorm"].map((name) =>
      same(`${theirs}${name}.{p}`, `${ours}${name}.{p}`),
    ),
    {
      theirs: `${theirs}attention.query_key_value.{p}`,
      ours: ["q", "k", "v"].map((name) => `${ours}self_attn.${name}_proj.{p}`),
      // [heads, 3, head width, …]: the parts of a head lie together.
      split: (value) => {
        const pieces = parts(value, 3 * heads);
        return [0, 1, 2].map((i) => stacked(pieces.filter((_, n) => n % 3 === i)));
      },
      join: (values) => {
        const pieces = values.map((value) => parts(value, heads));
        return stacked(Array.from({ length: 3 * heads }, (_, n) => pieces[n % 3]?.[Math.floor(n / 3)] as NDArray));
      },
    },
    same(`${theirs}attention.dense.{p}`, `${ours}self_attn.o_proj.{p}`),
    same(`${theirs}mlp.dense_h_to_4h.{p}`, `${ours}mlp.up_proj.{p}`),
    same(`${theirs}mlp.dense_4h_to_h.{p}`, `${ours}mlp.down_proj.{p}`),
    same("gpt_neox.final_layer_norm.{p}", "model.norm.{p}"),
    same("embed_out.weight", "lm_head.weight"),
  ],
});

export const gptNeoX: Architecture = {
  modelType: "gpt_neox",
  architectures: ["GPTNeoXForCausalLM"],
  layout: (config) => layoutFor(config.count("num_attention_heads", 64)),
  options: (config) => {
    config.only("attention_bias", true);
    const eps = config.number("layer_norm_eps", 1e-5);
    const mlp = config.choice("hidden_act", "gelu", { ...plainMLPs, gelu_fast: geluTanhMLP });
    const base = config.optional("rotary_emb_base");
    const rotaryConfig = base === undefined ? config : config.with({ rope_theta: base });
    return {
      layers: config.layers("num_hidden_layers", 44),
      width: config.count("hidden_size", 6144),
      heads: config.count("num_attention_heads", 64),
      vocabulary: config.count("vocab_size", 50432),
      context: config.count("max_position_embeddings", 2048),
      norm: (n) => layerNorm(n, { eps }),
      placement: config.flag("use_parallel_residual", true) ? parallel() : pre(),
      positions: rotaryOf(rotaryConfig, config.number("rotary_pct", 0.25)),
      mlp: mlp({ hidden: config.count("intermediate_size", 24576) }),
      bias: true,
      tieEmbeddings: config.flag("tie_word_embeddings", false),
    };
  },
};
