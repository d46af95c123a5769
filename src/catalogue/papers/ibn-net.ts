import { entry } from "../paper.js";

export const ibnNet = entry({
  id: "ibn-net",
  title: "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net",
  year: 2018,
  link: "https://arxiv.org/abs/1807.09441",
  kind: "normalization",
  summary:
    "Mixes instance norm and batch norm in the early stages of a convolutional network: half of the channels in " +
    "residual branches, or a full instance norm after the addition. The network gets better at home and much more " +
    "robust to other cameras and styles.",
  state: "done",
  exports: ["nn.ibn", "nn.IBN"],
  when: "A convolutional network that will see other light, colours or styles than those it was trained on; it costs nothing on the domain it knows.",
  example: `import { nn } from "layerwise";

const a = nn.resnet("50", { ibn: "a", classes: 10 });
const b = nn.cifarResNet({ depth: 20, ibn: ["b", "b", undefined] });
console.log(a.parameters().length, b.parameters().length);`,
  study: "ibn-net",
});
