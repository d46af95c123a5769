/**
 * A decoder with any placement: hidden states, logits, loss, all gradients, and what the placements' papers ask of it.
 * Serves Peri-LN, Mix-LN and LayerNorm Scaling.
 */
import { hiddenStates, layerStatistics } from "../../inspect/index.js";
import { type GPT, type GPTOptions, gpt } from "../../models/index.js";
import {
  bidirectional,
  foldNormScale,
  geluMLP,
  layerNorm,
  type MLPFactory,
  mix,
  normNames,
  type PlacementOption,
  reluMLP,
  rmsNorm,
  swiglu,
} from "../../nn/index.js";
import { crossEntropy, fail, NDArray, type Tensor } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import type { GoldenKind } from "./index.js";
import { namedGradients, runOnce } from "./run-once.js";

export const languageModel: GoldenKind = {
  matches: (file) => file.has("input_ids", "logits", "model.embed_tokens.weight") && "placement" in file.metadata,
  run: async (file) => {
    const model = load(file);
    const batch = nextTokens(file.take("input_ids"));
    await compareForwardAndBackward(file, model, batch);
    await compareStatistics(file, model, batch);
    await compareVariants(file, model, batch.tokens);
  },
};

export interface TokenBatch {
  readonly tokens: NDArray;
  readonly targets: NDArray;
}

/** Every token's target is the next one; the last has none. */
export function nextTokens(ids: NDArray): TokenBatch {
  const length = ids.shape[1] as number;
  const next = ids.toNumbers().map((_, i, all) => ((i + 1) % length === 0 ? -100 : (all[i + 1] as number)));
  return { tokens: ids.cast("int32"), targets: NDArray.from(next, "int32", ids.shape) };
}

/** The model a file's metadata describe, with the file's weights. */
export function load(file: GoldenCase, changes: Partial<GPTOptions> = {}): GPT {
  const eps = file.number("eps");
  const bias = file.flag("bias");
  const [width, heads] = [file.number("d"), file.number("H")];
  const model = gpt({
    layers: file.number("L"),
    width,
    heads,
    kvHeads: Number(file.metadata.Hkv ?? heads),
    vocabulary: file.number("V"),
    context: file.take("input_ids").shape[1] as number,
    norm: file.text("norm") === "rms" ? (w) => rmsNorm(w, { eps }) : (w) => layerNorm(w, { eps, bias }),
    placement: placementOf(file),
    mlp: mlp(file),
    positions: file.flag("rope") ? "rotary" : "none",
    bias,
    embedNorm: file.has("model.embed_norm.weight"),
    finalNorm: file.has("model.norm.weight"),
    tieEmbeddings: !file.has("lm_head.weight"),
    ...(file.flag("causal") ? {} : { mask: bidirectional() }),
    ...changes,
  });
  model.loadStateDict(weights(file, model));
  return model;
}

/** The file's weights that this model has. A norm the model lacks is left out: variants read fewer. */
function weights(file: GoldenCase, model: GPT): Map<string, NDArray> {
  const names = model.namedVariables();
  const isNorm = (name: string) => normNames.some((norm) => name.includes(`.${norm}.`));
  const kept = (name: string) => (isNorm(name) ? names.has(name) : /^(model|lm_head)\./.test(name));
  return file.takeAll("", kept);
}

const aliases: Readonly<Record<string, PlacementOption>> = {
  sandwich: "peri",
  out: "output",
  "pre-ln": "pre",
  "post-ln": "post",
};

export function placementOf(file: GoldenCase): PlacementOption {
  const name = file.text("placement").toLowerCase();
  if (name !== "mix") return aliases[name] ?? (name as PlacementOption);
  return "post_num" in file.metadata
    ? mix({ postLayers: file.number("post_num") })
    : mix({ alpha: file.number("alpha") });
}

function mlp(file: GoldenCase): MLPFactory {
  const make = { swiglu, gelu: geluMLP, relu: reluMLP }[file.text("act")];
  return (
    make?.({ hidden: file.number("F") }) ?? fail("file", `expected act swiglu, gelu or relu, got "${file.text("act")}"`)
  );
}

async function compareForwardAndBackward(file: GoldenCase, model: GPT, batch: TokenBatch): Promise<void> {
  const results = await runOnce({ ...batch }, ({ tokens, targets }) => {
    const logits = model.apply(tokens as Tensor);
    const loss = crossEntropy(logits, targets as Tensor);
    return { logits, loss, ...namedGradients(loss, model) };
  });
  for (const [name, value] of Object.entries(results)) file.compare(name, value);
}

async function compareStatistics(file: GoldenCase, model: GPT, batch: TokenBatch): Promise<void> {
  file.compare("hidden_states", await hiddenStates(model, batch.tokens));
  const { variance, gradientNorm } = await layerStatistics(model, batch);
  file.compare("residual_variance", variance);
  file.compare("layer_grad_norm", gradientNorm);
}

/** The same weights under other placements, and norm scales folded into gains. */
async function compareVariants(file: GoldenCase, model: GPT, tokens: NDArray): Promise<void> {
  if (file.has("logits_out")) file.compare("logits_out", await logits(load(file, { placement: "output" }), tokens));
  if (file.has("logits_pre_ln_same_weights")) {
    const pre = await logits(load(file, { placement: "pre" }), tokens);
    file.compare("logits_pre_ln_same_weights", pre);
  }
  if (file.has("layer_scale"))
    file.compare(
      "layer_scale",
      model.placements.map(({ attention }) => attention.scale ?? 1),
    );
  if (!file.has("logits_folded")) return;
  const folded = await foldNormScale(model);
  file.compare("logits_folded", await logits(folded, tokens));
  for (const [name, value] of await folded.stateDict()) file.compare(`folded.${name}`, value);
}

async function logits(model: GPT, tokens: NDArray): Promise<NDArray> {
  const { logits } = await runOnce({ tokens }, ({ tokens: ids }) => ({ logits: model.apply(ids as Tensor) }));
  return logits as NDArray;
}
