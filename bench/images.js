#!/usr/bin/env node
/**
 * How long a training step of a small convolutional network waits for its images: none made ahead, then in one and
 * two worker threads.
 *
 *   node bench/images.js [--steps 60] [--size 64] [--threads 1]      (after npm run build)
 */
import { parseArgs } from "node:util";
import { compile, grad, images, nn, optim } from "../dist/index.js";

const { values: options } = parseArgs({
  options: {
    steps: { type: "string", default: "60" },
    size: { type: "string", default: "64" },
    threads: { type: "string", default: "1" },
  },
});
process.env.LAYERWISE_THREADS = options.threads;

const side = 32;
const set = images.shapeImages(2000, { size: side });
const convolution = (inputs, outputs, stride) =>
  new nn.Sequential(new nn.Conv2d(inputs, outputs, 3, { stride, padding: 1 }), new nn.Lambda((x) => x.relu()));
const model = new nn.Sequential(
  ...[convolution(3, 16, 1), convolution(16, 32, 2), convolution(32, 64, 2)],
  new nn.Lambda((x) => x.mean([2, 3])),
  new nn.Linear(64, set.classes.length),
);
const optimizer = optim.adamW(model.parameters(), { learningRate: 1e-3 });
const step = compile(({ images, labels }) => {
  const loss = nn.crossEntropy(model.apply(images), labels);
  optimizer.update(grad(loss, model.parameters()));
  return { loss };
});

const transforms = [
  { name: "randomCrop", size: side, padding: 4 },
  { name: "horizontalFlip" },
  { name: "colorJitter", brightness: 0.2, contrast: 0.2, saturation: 0.2 },
  { name: "randomErasing" },
];
const recipe = { size: Number(options.size), steps: Number(options.steps), transforms };
for await (const batch of images.imageBatches(set, { ...recipe, steps: 2 })) await step(batch);
for (const workers of [0, 1, 2]) {
  const batches = images.imageBatches(set, { ...recipe, workers });
  let loss;
  for await (const batch of batches) ({ loss } = await step(batch));
  const { startup, waited, elapsed } = batches.waiting;
  console.log(
    `${workers} workers: waited ${((100 * waited) / elapsed).toFixed(1)} % of ${elapsed.toFixed(0)} ms` +
      ` (${(elapsed / (recipe.steps - 1)).toFixed(1)} ms a step, first batch after ${startup.toFixed(0)} ms), loss ${loss.item().toFixed(3)}`,
  );
}
