import { entry } from "../paper.js";

export const fedwon = entry({
  id: "fedwon",
  title: "FedWon: Triumphing Multi-domain Federated Learning Without Normalization",
  year: 2023,
  link: "https://arxiv.org/abs/2306.05879",
  kind: "application",
  summary:
    "Federated averaging over clients whose images come from different domains, made to work by removing batch " +
    "norm altogether and re-parameterising every convolution with scaled weight standardisation. One global model " +
    "serves known and new clients, down to a batch of one.",
  state: "done",
  exports: [
    "federated",
    "aggregate",
    "packFederated",
    "unpackFederated",
    "nn.removeNorms",
    "nn.ScaledWeightStandardization",
    "optim.adaptiveClip",
  ],
  when: "Several places that may not share their images, taken by different cameras or in different light, and one model that has to work in all of them and in new ones; also where only batches of one or two fit.",
  example: `import { federated, images, nn } from "layerwise";

const [tinted, dark] = [
  images.shapeArrays(12, { size: 8, shift: "tint" }),
  images.shapeArrays(12, { size: 8, shift: "dark" }),
];
const model = nn.removeNorms(nn.cifarResNet({ depth: 8, width: 4, classes: 6 }));
const rounds = federated({
  model,
  loss: ({ images, labels }) => nn.crossEntropy(model.apply(images), labels),
  accuracy: ({ images, labels }) => model.apply(images).argmax(-1).cast("int32").equal(labels).cast("float32").mean(),
  clients: [
    { name: "tinted", train: tinted, test: tinted },
    { name: "dark", train: dark, test: dark },
  ],
  algorithm: "fedwon",
  rounds: 2,
  batchSize: 4,
  learningRate: 0.05,
});
for await (const { round, evaluate } of rounds) console.log(round, (await evaluate()).worst);`,
  study: "fedwon",
});
