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
  when: "Graphs whose nodes are best understood from their neighbours and from where they stand in the whole: molecules, communities, meshes.",
  example: `import { nn } from "layerwise";

const model = nn.graphTransformer({
  task: "node",
  nodeTypes: 4,
  outputs: 3,
  layers: 4,
  hidden: 32,
  heads: 4,
  posEnc: { kind: "laplacian", k: 4 },
});
console.log(model.parameters().length);`,
  study: "graph-transformer",
});
