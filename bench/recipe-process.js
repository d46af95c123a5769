/**
 * nanoGPT's recipe for characters with layerwise, in a process of its own: prints, as JSON, milliseconds from the start of the
 * process to the first step done, seconds of all steps (building and compiling included), the loss over all of the validation text,
 * and over windows of it that begin at the places that the recipe names.
 *
 *   node bench/recipe-process.js '<recipe as JSON>' text.txt      (after npm run build)
 */
import { readFileSync } from "node:fs";

const { compile, fit, NDArray, nn, optim, schedule, text } = await import("../dist/index.js");

const recipe = JSON.parse(process.argv[2]);
const data = await text.open(process.argv[3], { tokens: "characters", context: recipe.context });
const begun = performance.now();
const { layers, width, heads, context, steps, warmup } = recipe;
const model = nn.gpt({
  ...{ layers, width, heads, context, vocabulary: data.vocabulary, seed: recipe.seed },
  ...{ norm: "layer", mlp: "gelu", positions: "learned", tieEmbeddings: true },
  initialization: { outputs: "depth-scaled" },
});
const training = fit({
  model,
  loss: ({ tokens, targets }) => nn.crossEntropy(model.apply(tokens), targets),
  data: (start) => data.batches({ size: recipe.batch, steps, start, seed: recipe.seed }),
  optimizer: (parameters, learningRate) =>
    optim.adamW(parameters, {
      ...{ learningRate, betas: recipe.betas, weightDecay: recipe.weightDecay },
      groups: [{ match: "**norm.weight", options: { weightDecay: 0 } }], // gains: all else is a matrix
    }),
  ...{ learningRate: recipe.learningRate, steps, clip: recipe.clip },
  schedule: schedule.cosine({ steps, warmup, minimum: recipe.least / recipe.learningRate }),
});
let [startUp, seconds] = [0, 0];
for await (const event of training) {
  if (event.kind !== "step") continue;
  if (event.step === 1) startUp = performance.now();
  seconds = (performance.now() - begun) / 1000;
}

/** Batches of windows that begin at given places of the validation text, which need not be those of a pass over it. */
function* batchesAt(starts) {
  const ids = data.encode([...readFileSync(process.argv[3], "utf8")].slice(data.lengths.train).join(""));
  const rows = (places) => Int32Array.from(places.flatMap((place) => [...ids.subarray(place, place + context)]));
  const array = (places) => new NDArray(rows(places), [places.length, context], "int32");
  for (let i = 0; i < starts.length; i += recipe.batch) {
    const places = starts.slice(i, i + recipe.batch);
    yield { tokens: array(places), targets: array(places.map((place) => place + 1)) };
  }
}

const evaluate = compile(({ tokens, targets }) => ({ loss: nn.crossEntropy(model.apply(tokens), targets) }));

async function meanLoss(batches) {
  let [sum, count] = [0, 0];
  for await (const batch of batches) {
    sum += (await evaluate(batch)).loss.item();
    count++;
  }
  return sum / count;
}

const loss = await meanLoss(data.batches({ split: "validation", size: recipe.batch }));
const drawnLoss = await meanLoss(batchesAt(recipe.drawn));
const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
const { vocabulary, lengths } = data;
await data.close();
console.log(JSON.stringify({ startUp, seconds, loss, drawnLoss, parameters, vocabulary, lengths }));
process.exit(0);
