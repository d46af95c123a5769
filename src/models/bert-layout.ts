/** How Hugging Face names BERT's weights (old files say gamma and beta), and its `config.json`. */
import { Attention, LayerNorm, layerNorm, MLP } from "../nn/index.js";
import { fail } from "../tensor/index.js";
import type { Bert, BertOptions } from "./bert.js";
import { activations, HFConfig, type JsonObject } from "./pretrained/hf-config.js";
import { type Layout, same } from "./pretrained/layout.js";
import type { WeightSource } from "./pretrained/weights.js";

const [theirs, ours] = ["bert.encoder.layer.{l}.", "layers.{l}."];

/** The head's matrix is the word table, so a copy of it says nothing. */
export const bertLayouts: readonly Layout[] = [
  {
    name: "huggingface",
    prefix: "bert.",
    rename: (name) => name.replace(/\.gamma$/, ".weight").replace(/\.beta$/, ".bias"),
    ignored: /^cls\.predictions\.decoder\.(weight|bias)$|(^|\.)embeddings\.(position_ids|token_type_ids)$/,
    rules: [
      same("bert.embeddings.word_embeddings.weight", "embed_tokens.weight"),
      same("bert.embeddings.position_embeddings.weight", "embed_positions.weight"),
      same("bert.embeddings.token_type_embeddings.weight", "embed_types.weight"),
      same("bert.embeddings.LayerNorm.{n}", "embed_norm.{n}"),
      ...["query", "key", "value"].map((name) =>
        same(`${theirs}attention.self.${name}.{p}`, `${ours}self_attn.${name[0]}_proj.{p}`),
      ),
      same(`${theirs}attention.output.dense.{p}`, `${ours}self_attn.o_proj.{p}`),
      same(`${theirs}attention.output.LayerNorm.{n}`, `${ours}post_attention_layernorm.{n}`),
      same(`${theirs}intermediate.dense.{p}`, `${ours}mlp.up_proj.{p}`),
      same(`${theirs}output.dense.{p}`, `${ours}mlp.down_proj.{p}`),
      same(`${theirs}output.LayerNorm.{n}`, `${ours}post_feedforward_layernorm.{n}`),
      same("bert.pooler.dense.{p}", "pooler.{p}"),
      same("cls.predictions.transform.dense.{p}", "predictions.dense.{p}"),
      same("cls.predictions.transform.LayerNorm.{n}", "predictions.norm.{n}"),
      same("cls.predictions.bias", "predictions.bias"),
      same("cls.seq_relationship.{p}", "seq_relationship.{p}"),
      same("classifier.{p}"),
    ],
  },
];

/**
 * What a `config.json` of type "bert" says; which parts there are beside the encoder, the tensors say. Throws a "file" error
 * for a value that is not supported.
 */
export function bertOptions(
  values: JsonObject,
  tensors: WeightSource["tensors"],
  where = "config.json",
): BertOptions & { readonly dropout: number } {
  const config = new HFConfig(values, where);
  config.choice("model_type", "", { bert: true });
  config.only("position_embedding_type", "absolute");
  for (const key of ["is_decoder", "add_cross_attention"]) config.only(key, false);
  config.only("tie_word_embeddings", true);
  const eps = config.number("layer_norm_eps", 1e-12);
  const has = (name: RegExp) => [...tensors.keys()].some((key) => name.test(key));
  const classes = tensors.get("classifier.weight")?.shape[0];
  return {
    vocabulary: config.count("vocab_size", 30522),
    layers: config.layers("num_hidden_layers", 12),
    width: config.count("hidden_size", 768),
    heads: config.count("num_attention_heads", 12),
    hidden: config.count("intermediate_size", 3072),
    context: config.count("max_position_embeddings", 512),
    tokenTypes: config.count("type_vocab_size", 2),
    norm: (n) => layerNorm(n, { eps }),
    mlp: config.choice("hidden_act", "gelu", activations),
    dropout: config.number("hidden_dropout_prob", 0.1),
    pooler: has(/^(bert\.)?pooler\.dense\.weight$/),
    maskedLM: has(/^cls\.predictions\.transform\./),
    nextSentence: has(/^cls\.seq_relationship\.weight$/),
    ...(classes !== undefined && { classes }),
  };
}

export function describeBert(model: Bert): JsonObject {
  const { embed_norm: norm, embed_tokens: words, layers, options, classifier } = model;
  const [attention, mlp] = [layers[0]?.self_attn, layers[0]?.mlp];
  if (!(norm instanceof LayerNorm && norm.weight && norm.bias) || model.layouts().length === 0)
    return fail(
      "argument",
      "config.json of a BERT has only LayerNorms with gain and bias and Post-LN blocks; save the weights alone with saveSafetensors",
    );
  if (!(attention instanceof Attention && mlp instanceof MLP))
    return fail("argument", "config.json of a BERT needs at least one plain block");
  const act = Object.entries(activations).find(([, name]) => name === (options.mlp ?? "gelu"));
  const rate = options.dropout ?? 0;
  return {
    architectures: [architectureOf(model)],
    model_type: "bert",
    vocab_size: words.weight.dim(0),
    hidden_size: words.width,
    num_hidden_layers: layers.length,
    num_attention_heads: attention.heads,
    intermediate_size: mlp.up_proj.outputs,
    hidden_act: act?.[0],
    max_position_embeddings: model.embed_positions.weight.dim(0),
    type_vocab_size: model.embed_types.weight.dim(0),
    layer_norm_eps: norm.eps,
    hidden_dropout_prob: rate,
    attention_probs_dropout_prob: rate,
    ...(classifier && {
      id2label: Object.fromEntries(Array.from({ length: classifier.outputs }, (_, i) => [i, `LABEL_${i}`])),
      label2id: Object.fromEntries(Array.from({ length: classifier.outputs }, (_, i) => [`LABEL_${i}`, i])),
    }),
  };
}

function architectureOf({ predictions, seq_relationship, classifier, pooler }: Bert): string {
  if (classifier) return pooler ? "BertForSequenceClassification" : "BertForTokenClassification";
  if (predictions) return seq_relationship ? "BertForPreTraining" : "BertForMaskedLM";
  return seq_relationship ? "BertForNextSentencePrediction" : "BertModel";
}
