// Writes docs/choose-a-norm.md: which norm for what, with the cost of each as `npm run bench -- --only norms` measured it
// (docs/norm-costs.json: `parts.norms` of .bench/bench.json). With --check it changes nothing and exits with 1 when the page is not what it would write.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { nn } from "../dist/index.js";

const costs = JSON.parse(readFileSync(new URL("../docs/norm-costs.json", import.meta.url), "utf8"));
const page = new URL("../docs/choose-a-norm.md", import.meta.url);

/** By the name that models take: what is averaged in training and in use, batches of one, folding, paper, when. */
const norms = {
  layer: [
    "a case's channels",
    "the same",
    "yes",
    "gain and bias (`foldInputNorms`)",
    "layer-norm",
    "the safe choice for tokens, and in recurrent nets",
  ],
  rms: [
    "a case's channels, no mean",
    "the same",
    "yes",
    "gain",
    "pre-rms-norm",
    "as LayerNorm, for less; what current language models use",
  ],
  scale: ["a case's length", "the same", "yes", "gain", "", "the cheapest norm of tokens; one gain in all"],
  batch: [
    "a channel over the batch",
    "running statistics",
    "no",
    "gone",
    "bn-only",
    "convolutional networks in batches of 16 and more; free in use",
  ],
  group: [
    "a group of a sample's channels",
    "the same",
    "yes",
    "no",
    "weight-standardization",
    "images in small batches, best with standardised weights",
  ],
  instance: [
    "one channel of one sample",
    "the same",
    "yes",
    "no",
    "ibn-net",
    "looks that should not matter: style, light, contrast",
  ],
  bcn: [
    "estimated batch statistics, then groups",
    "running statistics, then groups",
    "yes",
    "no",
    "weight-standardization",
    "one or two images a step",
  ],
  unified: [
    "a channel over the last batches, no mean",
    "running second moment",
    "yes",
    "gone",
    "unified-norm",
    "transformers that must be fast in use",
  ],
  power: [
    "a channel, running quadratic mean",
    "running quadratic mean",
    "yes",
    "all but a plain RMS",
    "power-norm",
    "tokens where BatchNorm is too noisy",
  ],
  prepbn: [
    "LayerNorm, then more and more BatchNorm",
    "running statistics",
    "several tokens",
    "gone",
    "slab",
    "transformers trained from scratch that must be fast in use",
  ],
  "evonorm-b0": [
    "batch and sample variance, no activation needed",
    "running and the sample's",
    "no",
    "no",
    "evonorm",
    "convolutional networks in place of BatchNorm and ReLU",
  ],
  "evonorm-s0": [
    "a group of a sample's channels, no activation needed",
    "the same",
    "yes",
    "no",
    "evonorm",
    "the same in small batches",
  ],
};

const missing = nn.normKinds.filter((kind) => !norms[kind]);
if (missing.length > 0) throw new Error(`scripts/norm-page.js says nothing of ${missing.join(", ")}`);

const times = (ratio) => (ratio === undefined ? "–" : `${ratio.toFixed(2)} ×`);
const link = (id) => (id ? `[${id}](papers/${id}.md)` : "");
const rows = Object.entries(norms).map(
  ([kind, [train, use, single, folds, paper, when]]) =>
    `| \`${kind}\` | ${when} | ${train} | ${use} | ${single} | ${folds} | ${times(costs.result.gpt[kind]?.ratio)} | ${times(costs.result.resnet[kind]?.ratio)} | ${link(paper)} |`,
);
const folding = Object.entries(costs.result.folding).map(
  ([name, { before, after, ratio }]) =>
    `| ${name} | ${before.toFixed(2)} ms | ${after.toFixed(2)} ms | ${ratio.toFixed(2)} |`,
);

const text = `# Which norm?

Every model takes every norm by one value, \`norm: "rms"\`, and \`nn.swapNorms(model, "group")\` puts one in the place of all
that are there. A function says more: \`norm: (width, axis) => nn.unifiedNorm(width, { axis, windowSize: 4 })\`.

- **Tokens:** start with \`rms\`, or \`layer\` where a checkpoint has it. Where use must be as fast as can be, \`unified\` or \`prepbn\` fold away.
- **Images, batches of 16 and more:** \`batch\`; it folds into the convolutions.
- **Images, a few at a time:** \`group\` with \`nn.standardizeWeights\`, or \`evonorm-s0\`. One at a time: the same, or \`bcn\` with standardised weights.
- **Images that will look different later:** \`ibn: "a"\` or \`"b"\` in \`resnet\` and \`densenet\` ([ibn-net](papers/ibn-net.md)); for a model that is
  trained already, [alpha-bn](papers/alpha-bn.md).
- **Images with holes:** [region-norm](papers/region-norm.md). **Several domains that may not share data:** none at all, [fedwon](papers/fedwon.md).
- **Graphs:** \`batch\` over the real nodes, or \`layer\` ([graph-transformer](papers/graph-transformer.md)).
- **Weights instead of activations:** \`nn.weightStandardization\`, \`nn.weightNorm\`, \`nn.spectralNorm\`, [weight-compander](papers/weight-compander.md).

## All of them

Statistics over what, in training and in use; whether a batch of one can be trained on; what \`nn.foldNorms\` leaves in use; and
what a training step costs: of a GPT (4 layers of 256) relative to LayerNorm, of a ResNet-20 relative to BatchNorm.

| norm | when | training | use | batch of one | folds | GPT step | ResNet step | paper |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
${rows.join("\n")}

## What folding saves

One input at a time (32 tokens, one picture), as trained and after folding or baking, exact to 1e-5. In large batches, where
products take nearly all of the time, the difference is within a few per cent.

| | before | after | times as fast |
| --- | --- | --- | --- |
${folding.join("\n")}

Measured ${costs.date.slice(0, 10)} on ${costs.machine}, ${costs.engine}, medians of turns; \`npm run bench -- --only norms\` measures it on yours.
`;

if (!process.argv.includes("--check")) writeFileSync(page, text);
else if (!existsSync(page) || readFileSync(page, "utf8") !== text) {
  console.error("docs/choose-a-norm.md: out of date; run `node scripts/norm-page.js` after a build");
  process.exit(1);
} else console.log("docs/choose-a-norm.md: up to date");
