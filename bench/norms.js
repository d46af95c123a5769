/**
 * What a norm costs: a training step of a small GPT for each norm of tokens against LayerNorm, of ResNet-20 for each norm of
 * images against BatchNorm, and an inference pass before and after folding. All sides take turns.
 */
import { compile, grad, inference, NDArray, nn, normalArray, optim, training } from "../dist/index.js";
import { inTurns, median, timed } from "./statistics.js";

const text = { layers: 4, width: 256, heads: 4, context: 128, vocabulary: 256 };
const tokens = NDArray.from(
  Int32Array.from({ length: 8 * text.context }, (_, i) => (i * 7919) % text.vocabulary),
  "int32",
  [8, text.context],
);
const pictures = normalArray({ seed: 0, site: "pictures" }, [64, 3, 32, 32]);
const labels = NDArray.from(
  Int32Array.from({ length: 64 }, (_, i) => i % 10),
  "int32",
);

const gptOf = (norm) => nn.gpt({ ...text, norm, mlp: "gelu", bias: true });
const resnetOf = (norm) => nn.cifarResNet({ depth: 20, norm });

function stepOf(model, targets) {
  const optimizer = optim.adamW(model.parameters(), { learningRate: 1e-4 });
  return compile(({ x, y }) => {
    const loss = training(() => nn.crossEntropy(model.apply(x), y));
    optimizer.update(grad(loss, optimizer.parameters));
    return { loss };
  }).bind(null, targets);
}

const passOf = (model, x) => compile(({ x: input }) => ({ y: inference(() => model.apply(input)) })).bind(null, { x });

/** The median of each, in milliseconds, in turns of some calls: threads of the one before still spin during the first ones. */
async function medians(calls, turns, perTurn = 4) {
  const sides = Object.fromEntries([...calls].map(([name, call]) => [name, () => timed(call, perTurn, 2)]));
  const times = await inTurns(sides, turns + 1, "norms");
  return new Map(Object.entries(times).map(([name, own]) => [name, median(own.slice(1).flat())]));
}

const relative = (times, base) =>
  Object.fromEntries([...times].map(([name, ms]) => [name, { milliseconds: ms, ratio: ms / times.get(base) }]));

export async function normBench({ turns, quick }) {
  const kinds = quick ? ["layer", "rms", "batch"] : nn.normKinds;
  const steps = (make, targets) => new Map(kinds.map((kind) => [kind, stepOf(make(kind), targets)]));
  const gpt = await medians(steps(gptOf, { x: tokens, y: tokens }), turns);
  const resnet = await medians(steps(resnetOf, { x: pictures, y: labels }), turns);
  return { gpt: relative(gpt, "layer"), resnet: relative(resnet, "batch"), folding: await foldingBench(turns) };
}

/** Inference of one input with the norms and without them; where LayerNorm could have been instead, against that. */
async function foldingBench(turns) {
  const tokens = NDArray.from(
    Int32Array.from({ length: 32 }, (_, i) => i),
    "int32",
    [1, 32],
  );
  const pictures = normalArray({ seed: 0, site: "picture" }, [1, 3, 32, 32]);
  const folded = async (model) => (await nn.foldNorms(model)).model;
  const gptOfKind = async (kind) => passOf(await folded(gptOf(kind)), tokens);
  const before = nn.onWarning(() => {});
  const calls = new Map([
    ["gpt, LayerNorm", passOf(gptOf("layer"), tokens)],
    ["gpt, unified", passOf(gptOf("unified"), tokens)],
    ["gpt, unified folded", await gptOfKind("unified")],
    ["gpt, prepbn", passOf(gptOf("prepbn"), tokens)],
    ["gpt, prepbn folded", await gptOfKind("prepbn")],
    ["gpt, pre-rms-norm", passOf((await nn.toPreRMSNorm(gptOf("layer"))).model, tokens)],
    ["resnet, batch", passOf(resnetOf("batch"), pictures)],
    ["resnet, batch folded", passOf(await folded(resnetOf("batch")), pictures)],
    ["resnet, weights standardised", passOf(nn.standardizeWeights(resnetOf("group")), pictures)],
    ["resnet, weights standardised and baked", passOf(await baked(nn.standardizeWeights(resnetOf("group"))), pictures)],
    ["resnet, weights companded", passOf(await companded(), pictures)],
    ["resnet, weights companded and baked", passOf(await baked(await companded()), pictures)],
  ]);
  nn.onWarning(before);
  const times = await medians(calls, turns, 30);
  const pairs = [
    ["unified-norm", "gpt, LayerNorm", "gpt, unified folded"],
    ["slab", "gpt, prepbn", "gpt, prepbn folded"],
    ["pre-rms-norm", "gpt, LayerNorm", "gpt, pre-rms-norm"],
    ["batch norm", "resnet, batch", "resnet, batch folded"],
    ["weight-standardization", "resnet, weights standardised", "resnet, weights standardised and baked"],
    ["weight-compander", "resnet, weights companded", "resnet, weights companded and baked"],
  ];
  return Object.fromEntries(
    pairs.map(([name, from, to]) => [
      name,
      { before: times.get(from), after: times.get(to), ratio: times.get(from) / times.get(to) },
    ]),
  );
}

async function companded() {
  const model = resnetOf("group");
  await nn.compand(model, { learn: false });
  return model;
}

async function baked(model) {
  await nn.bake(model);
  return model;
}
