/** A process of its own that trains a decoder for three steps, with or without recomputation: its peak memory, and its losses. */
import { gpt } from "../../src/models/index.js";
import { recompute } from "../../src/nn/index.js";
import { sgd } from "../../src/optim/index.js";
import { compile } from "../../src/runtime/index.js";
import { crossEntropy, grad, NDArray, type Tensor, training } from "../../src/tensor/index.js";

const [batch, context] = [12, 128];
const model = gpt({ layers: 10, width: 96, heads: 4, vocabulary: 64, context, dropout: 0.1 });
if (process.argv[2] === "recompute") model.model.layers.forEach(recompute);
const optimizer = sgd(model.parameters(), { learningRate: 0.1 });
const step = compile(({ tokens, targets }) => {
  const loss = training(() => crossEntropy(model.apply(tokens as Tensor), targets as Tensor));
  optimizer.update(grad(loss, model.parameters()));
  return { loss };
});
const ids = Int32Array.from({ length: batch * context }, (_, i) => (i * 7) % 64);
const feeds = {
  tokens: new NDArray(ids, [batch, context], "int32"),
  targets: new NDArray(
    ids.map((x) => (x * 3 + 1) % 64),
    [batch, context],
    "int32",
  ),
};
const before = process.resourceUsage().maxRSS;
const losses: number[] = [];
for (let i = 0; i < 3; i++) losses.push((await step(feeds)).loss.item());
process.send?.({ losses, megabytes: (process.resourceUsage().maxRSS - before) / 1024 }, () => process.exit(0));
