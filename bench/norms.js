/**
 * What a norm costs: a training step of a small GPT for each norm of tokens against LayerNorm, of ResNet-20 for each norm of
 * images against BatchNorm, and an inference pass before and after folding. All sides take turns.
 */
import { compile, grad, inference, NDArray, nn, normalArray, optim, training } from "../dist/index.js";

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

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

/** Milliseconds of each call, in turns of some calls each: threads of the one before still spin during the first ones. */
async function inTurns(calls, rounds, perTurn = 4) {
  const times = new Map([...calls.keys()].map((name) => [name, []]));
  for (let round = -1; round < rounds; round++)
    for (const [name, call] of calls)
      for (let i = -2; i < perTurn; i++) {
        const start = performance.now();
        await call();
        if (round >= 0 && i >= 0) times.get(name).push(performance.now() - start);
      }
  return new Map([...times].map(([name, own]) => [name, median(own)]));
}

const relative = (times, base) =>
  Object.fromEntries([...times].map(([name, ms]) => [name, { milliseconds: ms, ratio: ms / times.get(base) }]));

export async function normBench({ rounds }) {
  const kinds = nn.normKinds;
  const steps = (make, targets) => new Map(kinds.map((kind) => [kind, stepOf(make(kind), targets)]));
  const gpt = await inTurns(steps(gptOf, { x: tokens, y: tokens }), rounds);
  const resnet = await inTurns(steps(resnetOf, { x: pictures, y: labels }), rounds);
  return { gpt: relative(gpt, "layer"), resnet: relative(resnet, "batch"), folding: await foldingBench(rounds) };
}

/** Inference of one input with the norms and without them; where LayerNorm could have been instead, against that. */
async function foldingBench(rounds) {
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
  const times = await inTurns(calls, rounds, 30);
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

export function normLines({ gpt, resnet, folding }) {
  const row = ([name, { milliseconds, ratio }]) =>
    `  ${name.padEnd(14)} ${milliseconds.toFixed(1).padStart(7)} ms  ${ratio.toFixed(2)} ×`;
  return [
    "A training step by norm, GPT (4 layers of 256, batch 8 × 128), against LayerNorm:",
    ...Object.entries(gpt).map(row),
    "ResNet-20 (batch 64 of 32 × 32), against BatchNorm:",
    ...Object.entries(resnet).map(row),
    "Inference of one input (32 tokens, one picture), folded or baked against as trained:",
    ...Object.entries(folding).map(
      ([name, { before, after, ratio }]) =>
        `  ${name.padEnd(24)} ${before.toFixed(2).padStart(7)} → ${after.toFixed(2)} ms, ${ratio.toFixed(2)} times as fast`,
    ),
  ];
}
