/**
 * What can be asked of a model, in one line each:
 *
 *   model.layers.*.self_attn          what a module returns; ":in" what it gets; names as in `nn.observe`
 *   model.layers.0.mlp.up_proj:weight a parameter, also as model.layers.0.mlp.up_proj.weight
 *   grad(model.layers.*.mlp)          the gradient of the loss, of an output or a parameter
 *   attention(model.layers.2)         its attention weights [batch, heads, tokens, keys]; `attention` alone: of all layers
 *   lens                              the next token after every layer, read with the final norm and the head
 *   angular                           the angular distance between the streams of any two layers
 *
 * A star is one part of a path, two are any number of them; they stand for outputs and parameters, not for operations.
 * Each may end in an index, as NumPy has it: `attention(model.layers.2)[0, 3]`, `model.norm[0, -1]`, `model.norm[:, 2:4]`.
 */
import { withoutAliases } from "../nn/observe.js";
import { allocate, fail, formatShape, NDArray } from "../tensor/index.js";

export type QueryKind = "tensor" | "gradient" | "attention" | "lens" | "angular";

export interface Query {
  readonly text: string;
  readonly kind: QueryKind;
  /** What it asks about: a path with stars. */
  readonly path: string;
  /** The part between the brackets at its end, if there are any. */
  readonly index: string | undefined;
}

const parts = /^(?:(grad|attention)\(\s*(.+?)\s*\)|(.+?))\s*(?:\[([^\]]*)\])?$/;

/** Throws an "argument" error for an empty query. */
export function parseQuery(text: string): Query {
  const [, call, inner, plain = "", index] = parts.exec(text.trim()) ?? [];
  const path = pathOf(inner ?? plain);
  if (path === "")
    return fail("argument", `query ${JSON.stringify(text)}: expected a path such as "model.layers.*.mlp"`);
  if (call === "attention") return { text, kind: "attention", path, index };
  if (call === "grad") return { text, kind: "gradient", path, index };
  if (path.endsWith(":grad")) return { text, kind: "gradient", path: path.slice(0, -":grad".length), index };
  if (path === "attention") return { text, kind: "attention", path: "**", index };
  if (path === "lens" || path === "angular") return { text, kind: path, path, index };
  return { text, kind: "tensor", path, index };
}

/** `….up_proj:weight` is the variable `….up_proj.weight`. */
const pathOf = (text: string): string =>
  withoutAliases(text.trim()).replace(/:(?!in$|out$|grad$|in#|out#)(\w+)$/, ".$1");

/** Part of an array: whole numbers drop their axis, `a:b` and `:` keep it. Throws where an index is outside. */
export function pick(array: NDArray, index: string | undefined, name: string): NDArray {
  if (index === undefined) return array;
  const entries = index.split(",").map((entry) => entry.trim());
  const { shape } = array;
  const wrong = (what: string): never =>
    fail("argument", `${name}[${index}]: ${what}; its shape is ${formatShape(shape)}`);
  if (entries.length > shape.length) wrong(`it has ${shape.length} axes, not ${entries.length}`);
  const axes = shape.map((length, axis) => axisPlaces(entries[axis] ?? ":", length, axis, wrong));
  const kept = axes.filter(({ isOne }) => !isOne).map(({ places }) => places.length);
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const offsets = axes.reduce<readonly number[]>(
    (found, { places }, axis) => found.flatMap((start) => places.map((i) => start + i * (strides[axis] as number))),
    [0],
  );
  const data = allocate(array.dtype, offsets.length);
  for (const [i, offset] of offsets.entries()) data[i] = array.data[offset] as never;
  return new NDArray(data, kept, array.dtype);
}

function axisPlaces(entry: string, length: number, axis: number, wrong: (what: string) => never) {
  const [, from, colon, to] = /^(-?\d+)?(:)?(-?\d+)?$/.exec(entry) ?? [];
  if (entry === "" || (from === undefined && colon === undefined))
    return wrong(`${JSON.stringify(entry)} is no index; expected a whole number, a:b or :`);
  const counted = (text: string): number => Number(text) + (text.startsWith("-") ? length : 0);
  const start = counted(from ?? "0");
  const end = colon === undefined ? start + 1 : counted(to ?? String(length));
  if (start < 0 || end > length || (colon === undefined && start >= length) || end < start)
    return wrong(`${entry} is outside axis ${axis}`);
  return { isOne: colon === undefined, places: Array.from({ length: end - start }, (_, i) => start + i) };
}
