import { fail } from "../tensor/index.js";
import type { GraphTransformerOptions, PositionEncoding } from "./graph-transformer.js";

export interface GraphTransformerSizes {
  readonly layers: number;
  readonly hidden: number;
  readonly outputs: number;
  /** Whether there is an edge stream. */
  readonly edges: boolean;
  readonly posEnc: PositionEncoding;
}

/** Sizes with defaults filled in. Throws where they do not fit together. */
export function checkGraphTransformer(options: GraphTransformerOptions): GraphTransformerSizes {
  const { layers = 10, hidden = 64, outputs = 1, posEnc = { kind: "none" } } = options;
  const { task, nodeTypes, nodeFeatures, edgeTypes, edgeFeatures, readout = "mean", attention = "sparse" } = options;
  for (const [name, n] of Object.entries({ layers, outputs }))
    if (!Number.isInteger(n) || n < 1) refuse(`expected ${name} to be a positive whole number, got ${n}`);
  if (!Number.isInteger(hidden) || hidden < 4)
    refuse(`expected hidden to be a whole number of at least 4, for the head's d/4, got ${hidden}`);
  if ((nodeTypes === undefined) === (nodeFeatures === undefined))
    refuse("give nodeTypes or nodeFeatures, and not both");
  if (edgeTypes !== undefined && edgeFeatures !== undefined) refuse("give edgeTypes or edgeFeatures, and not both");
  const counts = { nodeTypes, nodeFeatures, edgeTypes, edgeFeatures: edgeFeatures === "constant" ? 1 : edgeFeatures };
  for (const [name, n] of Object.entries(counts))
    if (n !== undefined && (!Number.isInteger(n) || n < 1))
      refuse(`expected ${name} to be a positive whole number, got ${n}`);
  oneOf("task", task, ["node", "graph", "edge"]);
  oneOf("readout", readout, ["mean", "sum", "max"]);
  oneOf("attention", attention, ["sparse", "full"]);
  checkPositions(posEnc);
  return { layers, hidden, outputs, edges: edgeTypes !== undefined || edgeFeatures !== undefined, posEnc };
}

function checkPositions(posEnc: PositionEncoding): void {
  oneOf("posEnc.kind", posEnc.kind, ["laplacian", "wl", "none"]);
  if (posEnc.kind === "laplacian" && !(Number.isInteger(posEnc.k) && posEnc.k >= 1))
    refuse(`expected posEnc.k to be a positive whole number, got ${posEnc.k}`);
  if (posEnc.kind === "wl" && !(Number.isInteger(posEnc.roles) && posEnc.roles >= 2))
    refuse(`expected posEnc.roles to be a whole number of at least 2, as roles begin at 1, got ${posEnc.roles}`);
}

function oneOf(name: string, value: string, values: readonly string[]): void {
  if (!values.includes(value))
    refuse(`${name} is "${value}"; expected ${values.slice(0, -1).join(", ")} or ${values.at(-1)}`);
}

const refuse = (sentence: string): never => fail("argument", `graphTransformer: ${sentence}`);
