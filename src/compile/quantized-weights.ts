/**
 * Weights of few bits in a lowered model: products with a weight matrix become MatMulNBits, which reads blocks of 32
 * integers with a scale each and multiplies in int8 (accuracy level 4).
 *
 *   w ≈ s · (q − 2^(b−1)),   s = −extreme / 2^(b−1),   q = round(w / s) + 2^(b−1) in 0 … 2^b − 1
 *
 * where `extreme` is the entry of the block with the largest magnitude, so that one is exact. float16 weights are
 * widened in the graph.
 */

import { contribDomain, NDArray } from "../tensor/index.js";
import { encodeNode, encodeTensor } from "./onnx/encode.js";
import type { GraphProto, NodeProto, TensorProto } from "./onnx/onnx_pb.js";

/** As transformers.js calls them: its `dtype`. */
export const weightTypes = ["fp32", "fp16", "q8", "q4"] as const;
export type WeightType = (typeof weightTypes)[number];

export type WeightBits = 4 | 8;
const block = 32;

/** A matrix [rows, columns] in blocks along its columns, and the scale of each. */
export function quantizeBlocks(weight: NDArray, bits: WeightBits): { packed: NDArray; scales: NDArray } {
  const [rows, columns] = weight.shape as [number, number];
  const blocks = Math.ceil(columns / block);
  const bytes = (block * bits) / 8;
  const half = 2 ** (bits - 1);
  const packed = new Uint8Array(rows * blocks * bytes);
  const scales = new Float32Array(rows * blocks);
  const values = weight.data as Float32Array;
  for (let r = 0; r < rows; r++)
    for (let n = 0; n < blocks; n++) {
      const start = r * columns + n * block;
      const length = Math.min(block, columns - n * block);
      let extreme = 0;
      for (let i = 0; i < length; i++) {
        const value = values[start + i] as number;
        if (Math.abs(value) > Math.abs(extreme)) extreme = value;
      }
      const scale = -extreme / half;
      scales[r * blocks + n] = scale;
      const at = (r * blocks + n) * bytes;
      for (let i = 0; i < block; i++) {
        const value = i < length && scale !== 0 ? (values[start + i] as number) / scale : 0;
        const q = Math.min(2 * half - 1, Math.max(0, Math.round(value) + half));
        if (bits === 8) packed[at + i] = q;
        else packed[at + (i >> 1)] = (packed[at + (i >> 1)] as number) | (i % 2 === 0 ? q : q << 4);
      }
    }
  return {
    packed: new NDArray(packed, [rows, blocks, bytes], "uint8"),
    scales: new NDArray(scales, [rows * blocks], "float32"),
  };
}

interface Rewritten {
  readonly graph: GraphProto;
  readonly weights: TensorProto[];
}

/** The graph with its weights as initialisers of float32, float16, or 8 or 4 bits where they are factors of a product. */
export function withWeights(graph: GraphProto, weights: ReadonlyMap<string, NDArray>, type: WeightType): Rewritten {
  if (type === "fp32") return { graph, weights: Array.from(weights, ([name, value]) => encodeTensor(name, value)) };
  if (type === "fp16") return asHalf(graph, weights);
  return asIntegers(graph, weights, type === "q8" ? 8 : 4);
}

function asHalf(graph: GraphProto, weights: ReadonlyMap<string, NDArray>): Rewritten {
  const casts = Array.from(weights.keys(), (name) =>
    encodeNode(`${name}/widened`, "Cast", [`${name}.float16`], [name], { to: 1 }),
  );
  const halves = Array.from(weights, ([name, value]) => encodeTensor(`${name}.float16`, value.cast("float16")));
  return { graph: { ...graph, node: [...casts, ...graph.node] }, weights: halves };
}

/** A product with a weight matrix, as lowered: x Wᵀ (+ bias). */
interface LinearMap {
  readonly node: NodeProto;
  readonly x: string;
  readonly name: string;
  readonly weight: NDArray;
  readonly bias: string | undefined;
}

function linearMap(node: NodeProto, weights: ReadonlyMap<string, NDArray>): LinearMap | undefined {
  const [x = "", name = "", bias] = node.input;
  const weight = weights.get(name);
  if (node.opType !== "Gemm" || weight?.shape.length !== 2 || !isTransposedB(node)) return undefined;
  return { node, x, name, weight, bias };
}

/**
 * Maps of one input (queries, keys and values; gate and up) become one product: for a single token starting one takes as long as
 * reading a small matrix.
 */
function asIntegers(graph: GraphProto, weights: ReadonlyMap<string, NDArray>, bits: WeightBits): Rewritten {
  const maps = new Map<NodeProto, LinearMap>();
  const groups = new Map<string, LinearMap[]>();
  for (const node of graph.node) {
    const map = linearMap(node, weights);
    if (!map) continue;
    maps.set(node, map);
    groups.set(map.x, [...(groups.get(map.x) ?? []), map]);
  }
  const initializers = new Map<string, TensorProto>();
  const node = graph.node.flatMap((product): NodeProto[] => {
    const map = maps.get(product);
    if (!map) return [product];
    const group = groups.get(map.x) as LinearMap[];
    return map === group[0] ? quantizedProduct(group, bits, initializers) : [];
  });
  const used = new Set(node.flatMap(({ input }) => input));
  const rest = Array.from(weights, ([name, value]) => (used.has(name) ? [encodeTensor(name, value)] : [])).flat();
  return { graph: { ...graph, node }, weights: [...initializers.values(), ...rest] };
}

/** The outputs of all maps of a group, and what they are made of. */
function quantizedProduct(
  group: readonly LinearMap[],
  bits: WeightBits,
  initializers: Map<string, TensorProto>,
): NodeProto[] {
  const [{ x, node, weight }] = group as [LinearMap];
  const title = group.map(({ name }) => name).join("+");
  const rows = group.map((map) => rowsOf(map.weight));
  if (!initializers.has(`${title}.packed`)) {
    const { packed, scales } = quantizeBlocks(stacked(group.map((map) => map.weight)), bits);
    initializers.set(`${title}.packed`, encodeTensor(`${title}.packed`, packed));
    initializers.set(`${title}.scales`, encodeTensor(`${title}.scales`, scales));
  }
  const attributes = { K: columnsOf(weight), N: sum(rows), bits, block_size: block, accuracy_level: 4 };
  const inputs = [x, `${title}.packed`, `${title}.scales`];
  const product = (output: string) => encodeNode(node.name, "MatMulNBits", inputs, [output], attributes, contribDomain);
  const plain = group.map((map) => (map.bias ? `${map.node.name}~product` : (map.node.output[0] as string)));
  const biases = group.flatMap(({ node: own, bias }, i) =>
    bias ? [encodeNode(`${own.name}/bias`, "Add", [plain[i] as string, bias], own.output)] : [],
  );
  if (group.length === 1) return [product(plain[0] as string), ...biases];
  const lengths = `${title}.rows`;
  initializers.set(lengths, encodeTensor(lengths, NDArray.from(rows, "int64")));
  const joined = `${node.name}~joined`;
  return [
    product(joined),
    encodeNode(`${node.name}/split`, "Split", [joined, lengths], plain, { axis: -1 }),
    ...biases,
  ];
}

const rowsOf = ({ shape }: NDArray): number => shape[0] as number;
const columnsOf = ({ shape }: NDArray): number => shape[1] as number;
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

function stacked(weights: readonly NDArray[]): NDArray {
  const [first] = weights as [NDArray];
  if (weights.length === 1) return first;
  const rows = sum(weights.map(rowsOf));
  const data = new Float32Array(rows * columnsOf(first));
  let at = 0;
  for (const weight of weights) {
    data.set(weight.data as Float32Array, at);
    at += weight.size;
  }
  return new NDArray(data, [rows, columnsOf(first)], "float32");
}

const isTransposedB = ({ attribute }: NodeProto): boolean => {
  const of = (key: string) => Number(attribute.find(({ name }) => name === key)?.i ?? 0n);
  return of("transB") === 1 && of("transA") === 0;
};
