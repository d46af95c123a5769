/**
 * GPT-2 as Pre-LN, Pre-RMSNorm and Pre-CRMSNorm: converted weights, equal outputs, equal gradients of the original
 * parameters when trained through RMSNorms, and equal losses of a few steps of gradient descent.
 */
import { hiddenStates } from "../../inspect/index.js";
import { fromGPT2, type GPT, gpt } from "../../models/index.js";
import { geluTanhMLP, layerNorm, toPreCRMSNorm, toPreRMSNorm, trainAsPreRMSNorm } from "../../nn/index.js";
import { sgd } from "../../optim/index.js";
import { compile } from "../../runtime/index.js";
import { crossEntropy, type NDArray, type Tensor } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import type { GoldenKind } from "./index.js";
import { nextTokens, type TokenBatch } from "./language-model.js";
import { namedGradients, runOnce } from "./run-once.js";

export const gpt2: GoldenKind = {
  matches: (file) => file.has("input_ids", "logits", "ln.wte.weight", "ln.h.0.attn.c_attn.weight"),
  run: async (file) => {
    const batch = nextTokens(file.take("input_ids"));
    const model = load(file);
    await compareOutputs(file, "ln", model, batch);
    await compareTraining(file, "ln", load(file), batch);
    await compareTraining(file, "rms", trainAsPreRMSNorm(load(file)), batch);
    await compareConverted(file, "rms", (await toPreRMSNorm(model)).model, batch);
    await compareConverted(file, "crms", (await toPreCRMSNorm(model)).model, batch);
  },
};

function load(file: GoldenCase): GPT {
  const eps = file.number("eps");
  const width = file.number("d");
  const values = fromGPT2(file.takeAll("ln."));
  const hidden = values.get("model.layers.0.mlp.up_proj.weight")?.shape[0] ?? 4 * width;
  const model = gpt({
    layers: file.number("L"),
    width,
    heads: file.number("H"),
    vocabulary: file.number("V"),
    context: file.number("n_positions"),
    norm: (w) => layerNorm(w, { eps }),
    placement: "pre",
    mlp: geluTanhMLP({ hidden }),
    positions: "learned",
    bias: true,
    tieEmbeddings: !values.has("lm_head.weight"),
  });
  model.loadStateDict(values);
  return model;
}

async function compareOutputs(
  file: GoldenCase,
  form: string,
  model: GPT,
  { tokens, targets }: TokenBatch,
): Promise<void> {
  const { logits, loss } = await runOnce({ tokens, targets }, ({ tokens: ids, targets: next }) => {
    const logits = model.apply(ids as Tensor);
    return { logits, loss: crossEntropy(logits, next as Tensor) };
  });
  file.expect(`${form} logits`, logits as NDArray, file.take("logits"));
  file.expect(`${form} loss`, loss as NDArray, file.take("loss"));
  if (form !== "crms") file.compare(`hidden_states_${form}`, await hiddenStates(model, tokens));
}

async function compareConverted(file: GoldenCase, form: string, model: GPT, batch: TokenBatch): Promise<void> {
  await compareOutputs(file, form, model, batch);
  const expected = fromGPT2(file.takeAll(`${form}.`));
  const actual = await model.stateDict();
  for (const [name, value] of expected) file.expect(`${form}.${name}`, actual.get(name) as NDArray, value);
}

/** The gradient of every original parameter, then a few steps of plain gradient descent on the full batch. */
async function compareTraining(
  file: GoldenCase,
  form: string,
  model: GPT,
  { tokens, targets }: TokenBatch,
): Promise<void> {
  const expected = fromGPT2(file.takeAll("grad.ln."));
  const [learningRate] = file.text("sgd").match(/[\d.]+/) ?? ["0.1"];
  const optimizer = sgd(model.parameters(), { learningRate: Number(learningRate) });
  const step = compile(({ ids, next }: { ids: Tensor; next: Tensor }) => {
    const loss = crossEntropy(model.apply(ids), next);
    const gradients = namedGradients(loss, model);
    optimizer.update(Object.values(gradients));
    return { loss, ...gradients } as Record<string, Tensor>;
  });
  const losses: number[] = [];
  for (let i = 0; i < file.take("sgd_losses").size; i++) {
    const results = (await step({ ids: tokens, next: targets })) as Record<string, NDArray>;
    losses.push((results.loss as NDArray).item());
    if (i > 0) continue;
    for (const [name, value] of expected)
      file.expect(`${form} grad.${name}`, results[`grad.${name}`] as NDArray, value);
  }
  file.expect(`${form} sgd_losses`, losses, file.take("sgd_losses"));
  await step.release();
}
