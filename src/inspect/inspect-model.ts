/** Any inner tensor or gradient of a language model on a text, by queries (see query.ts). */

import type { GPT } from "../models/index.js";
import { pattern } from "../nn/observe.js";
import { type CompileOptions, compile } from "../runtime/index.js";
import { operationPoints } from "../runtime/observed.js";
import {
  crossEntropy,
  currentTrace,
  type DType,
  fail,
  grad,
  input,
  isFloat,
  NDArray,
  newTrace,
  noTarget,
  reachable,
  type Shape,
  type Tensor,
  Variable,
  withTrace,
} from "../tensor/index.js";
import { nearest } from "../tensor/nearest.js";
import { attentionsOf, joinAttention, softmaxesOf } from "./attention-map.js";
import { logitLens } from "./logit-lens.js";
import { parseQuery, pick, type Query } from "./query.js";
import { angularDistance, hiddenStates } from "./similarity.js";

export type TensorKind = "input" | "output" | "operation" | "parameter";

export interface Finding {
  /** As it is asked for alone: `grad(model.layers.0.mlp:out)`. */
  readonly name: string;
  readonly kind: TensorKind | "gradient" | "attention" | "lens" | "angular";
  readonly value: NDArray;
}

export interface Inspectable {
  readonly name: string;
  readonly kind: TensorKind;
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Everything of a model that has a name, for an input of `length` tokens (default 8); nothing is run. */
export function inspectable(model: GPT, length = Math.min(8, model.config.context)): Inspectable[] {
  model.namedVariables();
  const trace = newTrace();
  const points = withTrace(trace, () =>
    pointsOf([model.apply(input([], { name: "tokens", shape: [1, length], dtype: "int32" }))]),
  );
  return Array.from(points, ([name, tensor]) => ({
    name,
    kind: kindOf(name, tensor),
    shape: tensor.shape,
    dtype: tensor.dtype,
  }));
}

/** By name, in order of computation. The whole model's own input and output are `:in` and `:out`. */
function pointsOf(outputs: readonly Tensor[]): Map<string, Tensor> {
  return new Map([...(currentTrace()?.points ?? []), ...operationPoints(reachable([...outputs]))]);
}

function kindOf(name: string, tensor: Tensor): TensorKind {
  if (tensor instanceof Variable) return "parameter";
  return /:in(#\d+)?$/.test(name) ? "input" : name.includes("/") ? "operation" : "output";
}

/**
 * The tensors that queries name, in their order and, within a query, in order of computation. `tokens`: int32
 * [batch, tokens]; the loss is the mean cross-entropy of each token given those before it. Parameters need no tokens.
 *
 * @throws LayerwiseError "argument" for a query that matches nothing, with the nearest name; or one that needs tokens,
 * where there are none.
 */
export async function inspectModel(
  model: GPT,
  tokens: NDArray | undefined,
  queries: readonly string[],
  options: CompileOptions = {},
): Promise<Finding[]> {
  const asked = queries.map(parseQuery);
  const names = namesOf(model, asked);
  const variables = model.namedVariables();
  // Where a query names nothing but variables, nothing has to be run.
  const isStored = (query: Query): boolean => {
    const all = names.get(query) ?? [];
    return query.kind === "tensor" && all.every((name) => variables.has(name));
  };
  const computed = asked.filter((query) => !isStored(query));
  const known =
    computed.length === 0 ? new Map<Query, Finding[]>() : await compute(model, tokens, names, computed, options);
  const found = await Promise.all(
    asked.map((query) => known.get(query) ?? valuesOf(names.get(query) ?? [], variables)),
  );
  return found.flatMap((findings, i) => {
    const { index } = asked[i] as Query;
    return findings.map(({ name, kind, value }) => ({
      name: index === undefined ? name : `${name}[${index}]`,
      kind,
      value: pick(value, index, name),
    }));
  });
}

const valuesOf = (names: readonly string[], variables: ReadonlyMap<string, Variable>): Promise<Finding[]> =>
  Promise.all(
    names.map(async (name) => ({ name, kind: "parameter", value: await (variables.get(name) as Variable).data() })),
  );

async function compute(
  model: GPT,
  tokens: NDArray | undefined,
  names: Names,
  queries: readonly Query[],
  options: CompileOptions,
): Promise<Map<Query, Finding[]>> {
  if (!tokens)
    return fail("argument", `query "${queries[0]?.text}": it depends on the input; give a text, or token ids`);
  if (tokens.shape.length !== 2 || tokens.size === 0)
    fail("shape", `inspectModel: expected tokens [batch, tokens], got [${tokens.shape.join(", ")}]`);
  const arrays = await run(model, tokens, queries, names, options);
  const found = new Map<Query, Finding[]>();
  for (const query of queries)
    found.set(query, await findingsOf(model, tokens, query, names.get(query) ?? [], arrays, options));
  return found;
}

/** Which points, or which attention modules, each query names. */
function namesOf(model: GPT, queries: readonly Query[]): Map<Query, readonly string[]> {
  const points = inspectable(model);
  const attentions = [...attentionsOf(model).keys()];
  return new Map(
    queries.map((query) => {
      const { kind, path, text } = query;
      if (kind === "lens" || kind === "angular") return [query, []];
      const matches = pattern(path);
      const all =
        kind === "attention" ? attentions : points.filter((point) => suits(query, point)).map(({ name }) => name);
      const found = all.filter((name) => matches(name) || (kind === "attention" && matches(parentOf(name))));
      return [query, found.length > 0 ? found : missing(text, path, kind === "attention" ? all.map(parentOf) : all)];
    }),
  );
}

/** Stars stand for outputs and parameters; what modules get and operations are asked for with a `:` or a `/`. */
const suits = ({ kind, path }: Query, { kind: own, dtype }: Inspectable): boolean =>
  (kind !== "gradient" || isFloat(dtype)) &&
  (own !== "operation" || path.includes("/")) &&
  (own !== "input" || /:in(#|$)/.test(path));
const parentOf = (path: string): string => path.replace(/\.?[^.]*$/, "");

function missing(text: string, path: string, all: readonly string[]): never {
  const guess = nearest(
    path,
    all.map((name) => name.replace(/:out$/, "")),
  );
  return fail(
    "argument",
    `query "${text}": nothing in the model has this name${guess === undefined ? "" : `; did you mean "${guess}"?`}`,
  );
}

type Names = ReadonlyMap<Query, readonly string[]>;

/** One program for all tensors, gradients and attention weights; keys are the names of findings. */
async function run(
  model: GPT,
  tokens: NDArray,
  queries: readonly Query[],
  names: Names,
  options: CompileOptions,
): Promise<ReadonlyMap<string, NDArray>> {
  const of = (kind: Query["kind"]) => [
    ...new Set(queries.filter((query) => query.kind === kind).flatMap((query) => names.get(query) ?? [])),
  ];
  const [tensors, gradients, attentions] = [of("tensor"), of("gradient"), of("attention")];
  if (tensors.length + gradients.length + attentions.length === 0) return new Map();
  const program = compile(({ tokens: ids, targets }: { tokens: Tensor; targets: Tensor }) => {
    const logits = model.apply(ids);
    const points = pointsOf([logits]);
    const at = (name: string): Tensor => points.get(name) as Tensor;
    const outputs = new Map(tensors.map((name) => [name, at(name)]));
    for (const path of attentions)
      for (const [i, softmax] of softmaxesOf(path, points).entries()) outputs.set(`attention ${i} ${path}`, softmax);
    if (gradients.length > 0) {
      const loss = crossEntropy(logits, targets);
      for (const [i, gradient] of grad(loss, gradients.map(at)).entries())
        outputs.set(`grad(${gradients[i]})`, gradient);
    }
    return Object.fromEntries(outputs);
  }, options);
  try {
    const { observed: _, ...arrays } = await program({ tokens, targets: nextTokens(tokens) });
    return new Map(Object.entries(arrays) as [string, NDArray][]);
  } finally {
    await program.release();
  }
}

/** Each token's successor; the last has none. */
function nextTokens(tokens: NDArray): NDArray {
  const length = tokens.shape[1] as number;
  const ids = tokens.toNumbers();
  return NDArray.from(
    ids.map((_, i) => (i % length === length - 1 ? noTarget : (ids[i + 1] as number))),
    "int32",
    tokens.shape,
  );
}

async function findingsOf(
  model: GPT,
  tokens: NDArray,
  { kind }: Query,
  names: readonly string[],
  arrays: ReadonlyMap<string, NDArray>,
  options: CompileOptions,
): Promise<Finding[]> {
  if (kind === "lens") {
    const { token, probability } = await logitLens(model, tokens, options);
    return [
      { name: "lens/token", kind, value: token },
      { name: "lens/probability", kind, value: probability },
    ];
  }
  if (kind === "angular") {
    const rows = angularDistance(await hiddenStates(model, tokens));
    return [{ name: "angular", kind, value: NDArray.from(rows.map((row) => row.map((v) => v ?? Number.NaN))) }];
  }
  if (kind === "attention") {
    const modules = attentionsOf(model);
    return names.map((path) => {
      const pieces = [...arrays].filter(([key]) => key.startsWith("attention ") && key.endsWith(` ${path}`));
      const module = modules.get(path);
      if (!module || pieces.length === 0) return fail("argument", `attention(${path}): it computes no softmax`);
      return {
        name: `attention(${path})`,
        kind,
        value: joinAttention(
          path,
          module,
          pieces.map(([, piece]) => piece),
        ),
      };
    });
  }
  if (kind === "gradient")
    return names.map((path) => ({ name: `grad(${path})`, kind, value: arrays.get(`grad(${path})`) as NDArray }));
  const kinds = new Map(inspectable(model).map((point) => [point.name, point.kind]));
  return names.map((name) => ({ name, kind: kinds.get(name) ?? "output", value: arrays.get(name) as NDArray }));
}
