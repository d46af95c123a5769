/**
 * nanoGPT's recipe for characters with layerwise, in a process of its own: prints, as JSON, milliseconds from the start of the
 * process to the first step done, seconds of all steps (building and compiling included), and the loss over all of the
 * validation text.
 *
 *   node bench/recipe-process.js '<recipe as JSON>' text.txt      (after npm run build)
 */
const { fit, nn, optim, schedule, text } = await import("../dist/index.js");

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
  validation: () => data.batches({ split: "validation", size: recipe.batch }),
});
let [startUp, seconds, loss] = [0, 0, Number.NaN];
for await (const event of training) {
  if (event.kind === "step") {
    if (event.step === 1) startUp = performance.now();
    seconds = (performance.now() - begun) / 1000;
  }
  if (event.kind === "evaluation") loss = event.loss;
}
const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
const { vocabulary, lengths } = data;
await data.close();
console.log(JSON.stringify({ startUp, seconds, loss, parameters, vocabulary, lengths }));
process.exit(0);
