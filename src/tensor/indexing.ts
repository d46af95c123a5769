/** Picking by index and its adjoint, adding at an index. Indices are int32 or int64; negative ones count from the end. */
import { arange, zeros, zerosLike } from "./constant.js";
import type { DType } from "./dtype.js";
import { add, equal, mul } from "./elementwise.js";
import { fail } from "./errors.js";
import { formatShape, normalizeAxis, sameShape } from "./shape.js";
import { cast, reshape, slice, transpose, unsqueeze } from "./shaping.js";
import {
  attachMethods,
  defineSingle,
  type Lowering,
  type MethodsOf,
  type OnnxAttributes,
  type Tensor,
} from "./tensor.js";

type None = Record<string, never>;
interface AxisAttribute {
  readonly axis: number;
}

function requireIndices(name: string, indices: Tensor): void {
  if (indices.dtype !== "int32" && indices.dtype !== "int64")
    fail("dtype", `${name}: indices must be int32 or int64, got ${indices.dtype}`);
}

const makeGather = defineSingle<AxisAttribute>({
  name: "gather",
  infer: ([data, index], { axis }) => {
    const [x, indices] = [data as Tensor, index as Tensor];
    requireIndices("gather", indices);
    return { shape: [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)], dtype: x.dtype };
  },
  gradient: ({ inputs, gradient, attributes: { axis } }) => {
    const [x, indices] = inputs as [Tensor, Tensor];
    // Bring the gathered axes to the front, add there, and bring the axis back.
    const gatheredAxes = indices.shape.map((_, i) => axis + i);
    const others = gradient.shape.map((_, i) => i).filter((i) => !gatheredAxes.includes(i));
    const target = zeros([x.dim(axis), ...x.shape.filter((_, i) => i !== axis)], x.dtype);
    const added = indexAdd(target, indices, transpose(gradient, [...gatheredAxes, ...others]));
    const back = x.shape.map((_, i) => (i === axis ? 0 : i < axis ? i + 1 : i));
    return [transpose(added, back), undefined];
  },
  flops: () => 0,
  lower: ({ emit, inputs, attributes: { axis } }) => emit("Gather", inputs, { axis }),
});
/** Whole slices of x along an axis, one per index: [.., n, ..] and [k..] give [.., k.., ..]. */
export const gather = (x: Tensor, indices: Tensor, axis = 0): Tensor =>
  makeGather([x, indices], { axis: normalizeAxis("gather", axis, x.rank) });

/** Rows of a table by id (an embedding look-up). */
export const embedding = (weight: Tensor, ids: Tensor): Tensor => gather(weight, ids, 0);

/** Engines add up halves only as singles, which is also more accurate. */
function emitScatter<A extends object>(
  { emit, emitCast, value, cast: convert, inputs, node }: Lowering<A>,
  type: string,
  indices: string,
  updates: string,
  attributes: OnnxAttributes,
): void {
  const [x] = inputs as [string];
  if ((node.inputs[0] as Tensor).dtype === "float16")
    emitCast(value(type, [convert(x, "float32"), indices, convert(updates, "float32")], attributes), "float16");
  else emit(type, [x, indices, updates], attributes);
}

const makeIndexAdd = defineSingle<None>({
  name: "indexAdd",
  infer: ([data, index, added]) => {
    const [x, indices, updates] = [data, index, added] as [Tensor, Tensor, Tensor];
    requireIndices("indexAdd", indices);
    if (!sameShape(updates.shape, [...indices.shape, ...x.shape.slice(1)]))
      fail(
        "shape",
        `indexAdd: updates ${formatShape(updates.shape)} do not fit indices ${formatShape(indices.shape)} into ${formatShape(x.shape)}`,
      );
    return x;
  },
  gradient: ({ inputs, gradient, needs }) => [
    needs(0) ? gradient : undefined,
    undefined,
    needs(2) ? gather(gradient, inputs[1] as Tensor, 0) : undefined,
  ],
  flops: ({ inputs }) => (inputs[2] as Tensor).size,
  lower: (lowering) => {
    const { value, cast: convert, integers, inputs, node, target } = lowering;
    const [, indices, updates] = inputs as [string, string, string];
    if (target === "webgpu") {
      // In this order: of int64 WebGPU converts, but does not reshape, and would wait for the host in the middle.
      const column = convert(value("Unsqueeze", [indices, integers([-1])]), "int64");
      return emitScatter(lowering, "ScatterND", column, updates, { reduction: "add" });
    }
    // On the CPU, ScatterND's threads add to one row without a lock, and sums at equal indices get lost.
    const count = (node.inputs[1] as Tensor).size;
    const [, ...row] = (node.inputs[0] as Tensor).shape;
    const column = value("Reshape", [indices, integers([count, ...row.map(() => 1)])]);
    const positions = value("Expand", [column, integers([count, ...row])]);
    const flat = value("Reshape", [updates, integers([count, ...row])]);
    emitScatter(lowering, "ScatterElements", positions, flat, { axis: 0, reduction: "add" });
  },
});
/** x with updates[i] added to x[indices[i]]; equal indices add up. */
export const indexAdd = (x: Tensor, indices: Tensor, updates: Tensor): Tensor =>
  makeIndexAdd([x, indices, updates], {});

function requireAlong(name: string, x: Tensor, indices: Tensor, axis: number): void {
  requireIndices(name, indices);
  if (indices.rank !== x.rank || indices.shape.some((n, i) => i !== axis && n > x.dim(i)))
    fail(
      "shape",
      `${name}: indices ${formatShape(indices.shape)} must have the rank of ${formatShape(x.shape)} and fit inside it outside axis ${axis}`,
    );
}

const makeTakeAlong = defineSingle<AxisAttribute>({
  name: "takeAlongAxis",
  infer: ([data, index], { axis }) => {
    const [x, indices] = [data as Tensor, index as Tensor];
    requireAlong("takeAlongAxis", x, indices, axis);
    return { shape: indices.shape, dtype: x.dtype };
  },
  gradient: ({ inputs, gradient, attributes: { axis } }) => {
    const [x, indices] = inputs as [Tensor, Tensor];
    return [scatterAdd(zerosLike(x), indices, gradient, axis), undefined];
  },
  flops: () => 0,
  lower: ({ emit, inputs, attributes: { axis } }) => emit("GatherElements", inputs, { axis }),
});
/** y[.., i, ..] = x[.., indices[.., i, ..], ..] (torch.gather). */
export const takeAlongAxis = (x: Tensor, indices: Tensor, axis = -1): Tensor =>
  makeTakeAlong([x, indices], { axis: normalizeAxis("takeAlongAxis", axis, x.rank) });

const makeScatterAdd = defineSingle<AxisAttribute>({
  name: "scatterAdd",
  infer: ([data, index, added], { axis }) => {
    const [x, indices, updates] = [data, index, added] as [Tensor, Tensor, Tensor];
    requireAlong("scatterAdd", x, indices, axis);
    if (!sameShape(updates.shape, indices.shape))
      fail(
        "shape",
        `scatterAdd: updates ${formatShape(updates.shape)} and indices ${formatShape(indices.shape)} must have one shape`,
      );
    return x;
  },
  gradient: ({ inputs, gradient, needs, attributes: { axis } }) => [
    needs(0) ? gradient : undefined,
    undefined,
    needs(2) ? takeAlongAxis(gradient, inputs[1] as Tensor, axis) : undefined,
  ],
  flops: ({ inputs }) => (inputs[2] as Tensor).size,
  lower: (lowering) =>
    emitScatter(lowering, "ScatterElements", lowering.inputs[1] as string, lowering.inputs[2] as string, {
      axis: lowering.attributes.axis,
      reduction: "add",
    }),
});
/** x with updates added where takeAlongAxis would have read (torch.scatter_add). */
export const scatterAdd = (x: Tensor, indices: Tensor, updates: Tensor, axis = -1): Tensor =>
  makeScatterAdd([x, indices, updates], { axis: normalizeAxis("scatterAdd", axis, x.rank) });

const makeIndexPut = defineSingle<None>({
  name: "indexPut",
  infer: ([data, places, written]) => {
    const [x, indices, updates] = [data, places, written] as [Tensor, Tensor, Tensor];
    requireIndices("indexPut", indices);
    const depth = indices.rank === 0 ? 0 : indices.dim(-1);
    if (depth < 1 || depth > x.rank)
      fail(
        "shape",
        `indexPut: indices ${formatShape(indices.shape)} must end in an axis of 1 to ${x.rank} numbers, which name a place in ${formatShape(x.shape)}`,
      );
    const expected = [...indices.shape.slice(0, -1), ...x.shape.slice(depth)];
    if (!sameShape(updates.shape, expected) || updates.dtype !== x.dtype)
      fail(
        "shape",
        `indexPut: expected updates ${x.dtype}${formatShape(expected)}, got ${updates.dtype}${formatShape(updates.shape)}`,
      );
    return x;
  },
  gradient: ({ inputs, gradient, needs }) => {
    const [x, indices, updates] = inputs as [Tensor, Tensor, Tensor];
    return [
      needs(0) ? indexPut(gradient, indices, zerosLike(updates)) : undefined,
      undefined,
      needs(2) ? reshape(gather(...flatRows(gradient, indices, x.rank), 0), updates.shape) : undefined,
    ];
  },
  flops: () => 0,
  lower: ({ emit, cast: convert, inputs }) => {
    const [x, indices, updates] = inputs as [string, string, string];
    emit("ScatterND", [x, convert(indices, "int64"), updates]);
  },
});

/** x with the axes that `indices` [.., depth] name flattened into one, and the rows along it. */
function flatRows(x: Tensor, indices: Tensor, rank: number): [x: Tensor, rows: Tensor] {
  const depth = indices.dim(-1);
  const named = x.shape.slice(0, depth);
  let rows: Tensor | undefined;
  for (const [axis, size] of named.entries()) {
    const own = reshape(slice(indices, { axis: -1, start: axis, end: axis + 1 }), indices.shape.slice(0, -1));
    rows = rows ? add(mul(rows, size), own) : own;
  }
  return [reshape(x, [named.reduce((a, b) => a * b, 1), ...x.shape.slice(depth, rank)]), rows as Tensor];
}

/**
 * x with updates written at the places that `indices` [.., depth] name by their first `depth` coordinates, from 0 (in
 * PyTorch `x.index_put(indices.unbind(-1), updates)`). No place may be named twice where the values differ.
 */
export const indexPut = (x: Tensor, indices: Tensor, updates: Tensor): Tensor =>
  makeIndexPut([x, indices, updates], {});

/** 1 at the class, 0 elsewhere: [..] to [.., classes]. */
export function oneHot(indices: Tensor, classes: number, dtype: DType = "float32"): Tensor {
  requireIndices("oneHot", indices);
  return cast(equal(unsqueeze(indices, -1), reshape(arange(classes, indices.dtype), [classes])), dtype);
}

const methods = { gather, takeAlongAxis, scatterAdd, indexAdd, indexPut };
declare module "./tensor.js" {
  interface Tensor extends MethodsOf<typeof methods> {}
}
attachMethods(methods);
