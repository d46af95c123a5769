/**
 * Norm-and-activation layers as small graphs of basic operations, as the EvoNorm search sees them. Nodes 0 to 3 are given:
 * x, zeros, v0 (per channel, first 0), v1 (first 1); every further node is an operation on earlier ones, the last is the
 * output, and y = output · γ + β. A list of `[operation, [inputs]]` is all there is to it: its JSON form.
 *
 * Index sets of mean, rms and std: bwh (over the batch and space, per channel), whc (per sample), wh (per sample and
 * channel), whcg (per sample and group of channels). Guards with ε = 1e-5, our reading of the paper's "where needed":
 * rms and std add ε inside the root; x / y is x / (s(y) max(|y|, ε)) with s(0) = 1; log is sign(x) ln(|x| + ε); sqrt is
 * sign(x) √(|x| + ε). max splits the gradient evenly at ties.
 *
 * Source: "Evolving Normalization-Activation Layers", 2020, section 3.
 */
import { fail, isTraining, NDArray, type Tensor, Variable, where, zerosLike } from "../../tensor/index.js";
import { closest } from "../closest.js";
import { filled } from "../initial.js";
import { alongChannels, type ChannelAxis, checkChannels, checkWidth, moveChannels } from "./channels.js";
import { groupsFor } from "./groups-for.js";
import { Norm } from "./norm.js";

const binary = ["add", "mul", "div", "max"] as const;
const unary = ["neg", "sigmoid", "tanh", "exp", "log", "abs", "square", "sqrt"] as const;
const moments = ["mean", "rms", "std"] as const;
const indexSets = ["bwh", "whc", "wh", "whcg"] as const;
type IndexSet = (typeof indexSets)[number];

export type NormActOperation =
  | (typeof binary)[number]
  | (typeof unary)[number]
  | `${(typeof moments)[number]}_${IndexSet}`;
export type NormActNode = readonly [operation: NormActOperation, inputs: readonly number[]];

/** With statistics of the batch, or of the sample alone. */
export type NormActFamily = "batch" | "sample";
/** A uniform number from 0 up to 1. */
export type Random = () => number;

const given = ["x", "0", "v₀", "v₁"] as const;
const eps = 1e-5;
/** Intermediate nodes of the paper's graphs. */
const usualNodes = 10;

const arity = (operation: string): number => ((binary as readonly string[]).includes(operation) ? 2 : 1);
const allOperations: readonly string[] = [
  ...binary,
  ...unary,
  ...moments.flatMap((moment) => indexSets.map((set) => `${moment}_${set}`)),
];
const below = (random: Random, n: number): number => Math.min(n - 1, Math.floor(random() * n));
const oneOf = <T>(random: Random, list: readonly T[]): T => list[below(random, list.length)] as T;

export class NormActGraph {
  private constructor(readonly nodes: readonly NormActNode[]) {}

  /** Throws for an unknown operation, a wrong number of inputs, an input that is not earlier, an output without x. */
  static create(nodes: readonly (readonly [string, readonly number[]])[]): NormActGraph {
    if (nodes.length === 0) fail("argument", "NormActGraph: expected at least one node");
    for (const [i, [operation, inputs]] of nodes.entries()) {
      const at = i + given.length;
      if (!allOperations.includes(operation))
        fail("argument", `NormActGraph: node ${at} is "${operation}"${closest(operation, [...allOperations])}`);
      if (inputs.length !== arity(operation))
        fail(
          "argument",
          `NormActGraph: node ${at}, ${operation}, takes ${arity(operation)} inputs, got ${inputs.length}`,
        );
      for (const input of inputs)
        if (!Number.isInteger(input) || input < 0 || input >= at)
          fail("argument", `NormActGraph: node ${at} reads node ${input}; expected one before it, 0 to ${at - 1}`);
    }
    const graph = new NormActGraph(nodes as readonly NormActNode[]);
    if (!graph.used.has(0)) fail("argument", "NormActGraph: the output does not depend on x (node 0)");
    return graph;
  }

  /** Drawn as the paper does: operations, then index sets, then inputs among all earlier nodes, each uniformly. */
  static random(family: NormActFamily, random: Random, count = usualNodes): NormActGraph {
    for (;;) {
      const nodes = Array.from({ length: count }, (_, i) => drawNode(family, random, i + given.length));
      const graph = new NormActGraph(nodes);
      if (graph.used.has(0)) return graph;
    }
  }

  static fromJSON(json: unknown): NormActGraph {
    if (!Array.isArray(json) || !json.every(isNode))
      return fail(
        "argument",
        `NormActGraph: expected a list of [operation, [inputs]], got ${JSON.stringify(json)?.slice(0, 60)}`,
      );
    return NormActGraph.create(json);
  }

  toJSON(): readonly NormActNode[] {
    return this.nodes;
  }

  /** One intermediate node replaced: operation and inputs drawn anew. */
  mutate(family: NormActFamily, random: Random): NormActGraph {
    for (;;) {
      const at = below(random, this.nodes.length);
      const nodes = this.nodes.with(at, drawNode(family, random, at + given.length));
      const graph = new NormActGraph(nodes);
      if (graph.used.has(0)) return graph;
    }
  }

  /** The nodes that reach the output, given ones included. */
  get used(): ReadonlySet<number> {
    const reached = new Set<number>([this.nodes.length - 1 + given.length]);
    for (let i = this.nodes.length - 1; i >= 0; i--)
      if (reached.has(i + given.length)) for (const input of this.nodes[i]?.[1] ?? []) reached.add(input);
    return reached;
  }

  /** "x·σ(v₁·x) / std_whcg(x)" */
  get formula(): string {
    return this.write(this.nodes.length - 1 + given.length);
  }

  private write(node: number): string {
    if (node < given.length) return given[node] as string;
    const [operation, inputs] = this.nodes[node - given.length] as NormActNode;
    const parts = inputs.map((input) => this.write(input));
    const atom = (text: string) => (/^[\p{L}\p{N}₀₁_]+(\(.*\))?$/u.test(text) ? text : `(${text})`);
    const [a = "", b = ""] = parts;
    switch (operation) {
      case "add":
        return `${a} + ${atom(b)}`;
      case "mul":
        return `${atom(a)}·${atom(b)}`;
      case "div":
        return `${atom(a)} / ${atom(b)}`;
      case "neg":
        return `−${atom(a)}`;
      case "square":
        return `${atom(a)}²`;
      case "max":
        return `max(${a}, ${b})`;
      case "sigmoid":
        return `σ(${a})`;
      default:
        return `${operation}(${a})`;
    }
  }

  /** As a layer for so many channels, with variables of its own. */
  toLayer(channels: number, options: NormActLayerOptions = {}): NormActLayer {
    return new NormActLayer(this, channels, options);
  }
}

const isNode = (node: unknown): node is [string, number[]] =>
  Array.isArray(node) &&
  node.length === 2 &&
  typeof node[0] === "string" &&
  Array.isArray(node[1]) &&
  node[1].every((input) => typeof input === "number");

function drawNode(family: NormActFamily, random: Random, at: number): NormActNode {
  const kind = oneOf(random, [...binary, ...unary, ...moments]);
  const isMoment = (moments as readonly string[]).includes(kind);
  const sets = family === "batch" ? indexSets : indexSets.filter((set) => set !== "bwh");
  const operation = (isMoment ? `${kind}_${oneOf(random, sets)}` : kind) as NormActOperation;
  return [operation, Array.from({ length: arity(operation) }, () => below(random, at))];
}

export interface NormActLayerOptions {
  /** Groups of channels of the index set whcg, lowered to the next that divides them (default 32). */
  readonly groups?: number;
  /** Weight of the new batch in the running statistics of bwh nodes (default 0.1). */
  readonly momentum?: number;
  readonly axis?: ChannelAxis;
}

/** A graph with its variables; bwh nodes keep running statistics for inference. */
export class NormActLayer extends Norm {
  readonly v0: Variable; // [C]
  readonly v1: Variable; // [C]
  readonly weight: Variable; // [C], γ
  readonly bias: Variable; // [C], β
  /** By node: what it averages, [1, C, 1, …] as [C]. */
  readonly running: Readonly<Record<string, Variable>>;
  readonly groups: number;
  readonly momentum: number;
  override readonly axis: ChannelAxis;

  constructor(
    readonly graph: NormActGraph,
    override readonly width: number,
    { groups = 32, momentum = 0.1, axis = 1 }: NormActLayerOptions = {},
  ) {
    super();
    checkWidth("NormActLayer", width);
    this.v0 = new Variable(NDArray.zeros([width]));
    this.v1 = new Variable(filled([width], 1));
    this.weight = new Variable(filled([width], 1));
    this.bias = new Variable(NDArray.zeros([width]));
    const { used } = graph;
    const overBatch = graph.nodes.flatMap(([operation], i) =>
      operation.endsWith("_bwh") && used.has(i + given.length) ? [i + given.length] : [],
    );
    this.running = Object.fromEntries(
      overBatch.map((node) => [`n${node}`, new Variable(filled([width], 0), { trainable: false })]),
    );
    [this.groups, this.momentum, this.axis] = [groupsFor(width, groups), momentum, axis];
  }

  /** Where no activation follows, as EvoNorm: γ x + β. */
  override get activates(): boolean {
    return !this.bare;
  }

  override forward(x: Tensor): Tensor {
    checkChannels("NormActLayer", x, this.width, this.axis);
    return this.axis === 1 || x.rank < 3
      ? this.onChannels(x)
      : moveChannels(this.onChannels(moveChannels(x, "first")), "last");
  }

  private onChannels(x: Tensor): Tensor {
    const along = (v: Tensor) => alongChannels(v, x, 1);
    const out = this.bare ? x : this.evaluate(x, along);
    return out.mul(along(this.weight)).add(along(this.bias)).expand(x.shape);
  }

  private evaluate(x: Tensor, along: (v: Tensor) => Tensor): Tensor {
    const { used } = this.graph;
    const values: Tensor[] = [x, zerosLike(along(this.v0)), along(this.v0), along(this.v1)];
    for (const [i, [operation, inputs]] of this.graph.nodes.entries()) {
      const node = i + given.length;
      const [a, b] = inputs.map((input) => values[input]) as [Tensor, Tensor];
      // What the output does not read is not computed; its place is kept.
      values.push(used.has(node) ? this.compute(operation, a, b, node, along) : (values[1] as Tensor));
    }
    return values.at(-1) as Tensor;
  }

  private compute(
    operation: NormActOperation,
    a: Tensor,
    b: Tensor,
    node: number,
    along: (v: Tensor) => Tensor,
  ): Tensor {
    if (Object.hasOwn(elementwise, operation))
      return (elementwise[operation] as (a: Tensor, b: Tensor) => Tensor)(a, b);
    const [moment, set] = operation.split("_") as [(typeof moments)[number], IndexSet];
    if (set !== "bwh")
      return finish(
        moment,
        average(moment, a, (t) => over(t, set, this.groups)),
      );
    const running = this.running[`n${node}`] as Variable;
    if (!isTraining()) return finish(moment, along(running));
    const now = average(moment, a, (t) => over(t, set, this.groups));
    const perChannel = now.expand(along(running).shape).reshape([this.width]);
    running.advance((old) => old.mul(1 - this.momentum).add(perChannel.mul(this.momentum)));
    return finish(moment, now);
  }
}

/** What a moment averages: x, x², or the squared distance from the mean. */
function average(moment: (typeof moments)[number], x: Tensor, mean: (x: Tensor) => Tensor): Tensor {
  if (moment === "mean") return mean(x);
  return mean(moment === "rms" ? x.square() : x.sub(mean(x)).square());
}

const finish = (moment: (typeof moments)[number], value: Tensor): Tensor =>
  moment === "mean" ? value : value.add(eps).sqrt();

/** The mean over an index set, in a shape that broadcasts; a value without an axis is constant along it. */
function over(x: Tensor, set: IndexSet, groups: number): Tensor {
  const space = Array.from({ length: x.rank - 2 }, (_, i) => i + 2);
  const keepDims = { keepDims: true } as const;
  if (set === "wh") return space.length === 0 ? x : x.mean(space, keepDims);
  if (set === "bwh") return x.mean([0, ...space], keepDims);
  if (set === "whc") return x.mean([1, ...space], keepDims);
  const [N, C] = [x.dim(0), x.dim(1)];
  if (C === 1) return space.length === 0 ? x : x.mean(space, keepDims);
  const perGroup = x.reshape([N, groups, x.size / (N * groups)]).mean(-1, keepDims);
  return perGroup.expand([N, groups, C / groups]).reshape([N, C, ...space.map(() => 1)]);
}

const sign = (x: Tensor, atZero: 0 | 1): Tensor => where(x.greater(0), 1, where(x.less(0), -1, atZero)).cast(x.dtype);

const elementwise: Readonly<Record<string, (a: Tensor, b: Tensor) => Tensor>> = {
  add: (a, b) => a.add(b),
  mul: (a, b) => a.mul(b),
  div: (a, b) => a.div(sign(b, 1).mul(b.abs().maximum(eps))),
  max: (a, b) => a.maximum(b),
  neg: (a) => a.neg(),
  sigmoid: (a) => a.sigmoid(),
  tanh: (a) => a.tanh(),
  exp: (a) => a.exp(),
  log: (a) => sign(a, 0).mul(a.abs().add(eps).log()),
  abs: (a) => a.abs(),
  square: (a) => a.square(),
  sqrt: (a) => sign(a, 0).mul(a.abs().add(eps).sqrt()),
};

/** The hand-made and found layers, as graphs. */
export const namedNormActGraphs = {
  "bn-relu": NormActGraph.create([
    ["mean_bwh", [0]],
    ["neg", [4]],
    ["add", [0, 5]],
    ["std_bwh", [0]],
    ["div", [6, 7]],
    ["max", [8, 1]],
  ]),
  "gn-relu": NormActGraph.create([
    ["mean_whcg", [0]],
    ["neg", [4]],
    ["add", [0, 5]],
    ["std_whcg", [0]],
    ["div", [6, 7]],
    ["max", [8, 1]],
  ]),
  "evonorm-b0": NormActGraph.create([
    ["std_wh", [0]],
    ["mul", [3, 0]],
    ["add", [4, 5]],
    ["std_bwh", [0]],
    ["max", [6, 7]],
    ["div", [0, 8]],
  ]),
  "evonorm-s0": NormActGraph.create([
    ["mul", [3, 0]],
    ["sigmoid", [4]],
    ["mul", [0, 5]],
    ["std_whcg", [0]],
    ["div", [6, 7]],
  ]),
} as const;
