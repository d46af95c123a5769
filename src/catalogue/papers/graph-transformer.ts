import { entry } from "../paper.js";

export const graphTransformer = entry({
  id: "graph-transformer",
  title: "A Generalization of Transformer Networks to Graphs",
  year: 2020,
  link: "https://arxiv.org/abs/2012.09699",
  kind: "architecture",
  summary:
    "A transformer encoder for arbitrary graphs: nodes attend to their neighbours only, Laplacian eigenvectors " +
    "serve as positions and batch norm replaces LayerNorm. A second form carries edge features that steer " +
    "attention and are updated layer by layer.",
  state: "done",
  exports: ["nn.graphTransformer", "nn.GraphTransformerLayer", "graphs"],
  study: "graph-transformer",
});
