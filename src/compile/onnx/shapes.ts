/** Which shapes and types follow from which, for the operators that programs of ours hold (src/compile/operators.ts). */
import { broadcastShapes, type DType, fail, formatShape, type Shape, sameShape, sizeOf } from "../../tensor/index.js";

/** What is known of a value before anything runs. */
export interface Known {
  readonly shape: Shape;
  readonly dtype: DType;
  /** Of small integer constants: axes, shapes, bounds. */
  readonly values?: readonly number[] | undefined;
}

export interface Call {
  readonly inputs: readonly Known[];
  readonly attributes: ReadonlyMap<string, number | string | readonly number[]>;
}

export const wrong = (what: string): never => fail("file", what);

const first = ({ inputs }: Call): Known => inputs[0] as Known;
const integer = ({ attributes }: Call, name: string, otherwise: number): number =>
  (attributes.get(name) as number | undefined) ?? otherwise;
const constant = (known: Known | undefined, what: string): readonly number[] =>
  known?.values ?? wrong(`its ${what} are no constant`);

function axisOf(axis: number, rank: number): number {
  if (!(axis >= -rank && axis < rank)) wrong(`axis ${axis} is outside rank ${rank}`);
  return axis < 0 ? axis + rank : axis;
}

/** The attribute `axis` as a place from the front. */
export const position = (call: Call, otherwise = -1): number =>
  axisOf(integer(call, "axis", otherwise), first(call).shape.length);

export const alongAxis = (call: Call): readonly Known[] => {
  position(call);
  return same(call);
};

export const same = (call: Call): readonly Known[] => [{ shape: first(call).shape, dtype: first(call).dtype }];

export const broadcast =
  (dtype?: DType) =>
  ({ inputs }: Call): readonly Known[] => {
    const [a, b] = inputs as [Known, Known];
    if (a.dtype !== b.dtype) wrong(`it takes ${a.dtype} and ${b.dtype}`);
    return [{ shape: broadcastShapes("its inputs", a.shape, b.shape), dtype: dtype ?? a.dtype }];
  };

export function chosen({ inputs: [condition, ...values], attributes }: Call): readonly Known[] {
  if (condition?.dtype !== "bool") wrong(`its condition is ${condition?.dtype}, not bool`);
  const [{ shape, dtype }] = broadcast()({ inputs: values, attributes }) as [Known];
  return [{ shape: broadcastShapes("its inputs", (condition as Known).shape, shape), dtype }];
}

const without = (shape: Shape, axes: readonly number[], keep: boolean): number[] =>
  keep ? shape.map((n, i) => (axes.includes(i) ? 1 : n)) : shape.filter((_, i) => !axes.includes(i));

export const positions = (call: Call): readonly Known[] => [
  { shape: without(first(call).shape, [position(call, 0)], integer(call, "keepdims", 1) !== 0), dtype: "int64" },
];

export function reduced(call: Call): readonly Known[] {
  const { shape, dtype } = first(call);
  const axes = constant(call.inputs[1], "axes").map((axis) => axisOf(axis, shape.length));
  const all = axes.length > 0 ? axes : shape.map((_, i) => i);
  return [{ shape: without(shape, all, integer(call, "keepdims", 1) !== 0), dtype }];
}

export function topped(call: Call): readonly Known[] {
  const { shape, dtype } = first(call);
  const axis = position(call);
  const [k = -1] = constant(call.inputs[1], "k");
  if (!(k >= 0 && k <= (shape[axis] as number))) wrong(`k ${k} is outside the ${shape[axis]} there are`);
  const top = shape.with(axis, k);
  return [
    { shape: top, dtype },
    { shape: top, dtype: "int64" },
  ];
}

export function divided(call: Call): readonly Known[] {
  const { shape, dtype } = first(call);
  const axis = position(call);
  const lengths = constant(call.inputs[1], "lengths");
  if (lengths.some((n) => n < 0) || lengths.reduce((a, b) => a + b, 0) !== shape[axis])
    wrong(`pieces of ${formatShape(lengths)} do not make up axis ${axis} of ${formatShape(shape)}`);
  return lengths.map((n) => ({ shape: shape.with(axis, n), dtype }));
}

export function concatenated(call: Call): readonly Known[] {
  const { shape, dtype } = first(call);
  const axis = position(call);
  for (const other of call.inputs)
    if (other.dtype !== dtype || !sameShape(without(other.shape, [axis], true), without(shape, [axis], true)))
      wrong(`it joins ${dtype}${formatShape(shape)} and ${other.dtype}${formatShape(other.shape)} along axis ${axis}`);
  return [
    {
      shape: shape.with(
        axis,
        call.inputs.reduce((sum, x) => sum + (x.shape[axis] as number), 0),
      ),
      dtype,
    },
  ];
}

export function reshaped(call: Call): readonly Known[] {
  const { shape, dtype } = first(call);
  const asked = constant(call.inputs[1], "new dimensions");
  // ONNX takes 0 for "as it was", unless told that it is meant.
  const kept = integer(call, "allowzero", 0) === 1 ? asked : asked.map((n, i) => (n === 0 ? (shape[i] ?? -2) : n));
  const rest = sizeOf(kept.filter((n) => n !== -1));
  const target = kept.map((n, i) => (n === -1 && kept.indexOf(-1) === i ? sizeOf(shape) / rest : n));
  if (!target.every((n) => Number.isInteger(n) && n >= 0) || sizeOf(target) !== sizeOf(shape))
    wrong(`${formatShape(shape)} cannot become ${formatShape(target)}`);
  return [{ shape: target, dtype }];
}

export function expanded(call: Call): readonly Known[] {
  const { shape, dtype } = first(call);
  const target = constant(call.inputs[1], "dimensions");
  if (target.some((n) => n < 0)) wrong(`it expands to ${formatShape(target)}`);
  return [{ shape: broadcastShapes("its inputs", shape, target), dtype }];
}

export function sliced(call: Call): readonly Known[] {
  const { shape, dtype } = first(call);
  const [starts, ends, axes, steps = axes.map(() => 1)] = call.inputs.slice(1).map((x) => constant(x, "bounds")) as [
    readonly number[],
    readonly number[],
    readonly number[],
    (readonly number[])?,
  ];
  if ([ends, axes, steps].some(({ length }) => length !== starts.length)) wrong("its bounds differ in number");
  const result = [...shape];
  for (const [i, given] of axes.entries()) {
    const axis = axisOf(given, shape.length);
    const n = shape[axis] as number;
    const step = steps[i] as number;
    if (step === 0) wrong("its step is 0");
    const clamp = (at: number): number => {
      const fromFront = at < 0 ? at + n : at;
      return step > 0 ? Math.min(Math.max(fromFront, 0), n) : Math.min(Math.max(fromFront, -1), n - 1);
    };
    result[axis] = Math.max(0, Math.ceil((clamp(ends[i] as number) - clamp(starts[i] as number)) / step));
  }
  return [{ shape: result, dtype }];
}

export function padded(call: Call): readonly Known[] {
  const { shape, dtype } = first(call);
  const pads = constant(call.inputs[1], "amounts");
  const rank = shape.length;
  const padding = call.inputs[2] as Known;
  if (call.inputs[3] && constant(call.inputs[3], "axes").join() !== shape.map((_, axis) => axis).join())
    wrong("it pads some axes only");
  if (pads.length !== 2 * rank || pads.some((n) => n < 0))
    wrong(`it pads ${formatShape(shape)} by ${formatShape(pads)}`);
  if (padding.dtype !== dtype || padding.shape.length > 0) wrong("its value is no number of its type");
  return [{ shape: shape.map((n, i) => n + (pads[i] as number) + (pads[rank + i] as number)), dtype }];
}

export function transposed(call: Call): readonly Known[] {
  const { shape, dtype } = first(call);
  const order = (call.attributes.get("perm") as readonly number[] | undefined) ?? shape.map((_, i) => i).reverse();
  if (order.length !== shape.length || shape.some((_, i) => !order.includes(i)))
    wrong(`it transposes ${formatShape(shape)} by ${formatShape(order)}`);
  return [{ shape: order.map((axis) => shape[axis] as number), dtype }];
}

export function unsqueezed(call: Call): readonly Known[] {
  const { shape, dtype } = first(call);
  const axes = constant(call.inputs[1], "axes");
  const rank = shape.length + axes.length;
  const added = new Set(axes.map((axis) => axisOf(axis, rank)));
  if (added.size !== axes.length) wrong(`it adds an axis of ${formatShape(axes)} twice`);
  const rest = [...shape];
  return [{ shape: Array.from({ length: rank }, (_, i) => (added.has(i) ? 1 : (rest.shift() as number))), dtype }];
}

const indices = (known: Known | undefined): Known =>
  known?.dtype === "int64" || known?.dtype === "int32" ? known : wrong(`its indices are ${known?.dtype}`);

export function gathered(call: Call): readonly Known[] {
  const { shape, dtype } = first(call);
  const axis = position(call, 0);
  return [{ shape: [...shape.slice(0, axis), ...indices(call.inputs[1]).shape, ...shape.slice(axis + 1)], dtype }];
}

/** What is picked, or written, one by one may be shorter than what it is picked from, except along the axis. */
function elementwise(call: Call): Known {
  const { shape } = first(call);
  const axis = position(call, 0);
  const at = indices(call.inputs[1]);
  if (at.shape.length !== shape.length || at.shape.some((n, i) => i !== axis && n > (shape[i] as number)))
    wrong(`indices ${formatShape(at.shape)} do not fit ${formatShape(shape)}`);
  return at;
}

export const gatheredElements = (call: Call): readonly Known[] => [
  { shape: elementwise(call).shape, dtype: first(call).dtype },
];

const sameType = (a: Known, b: Known): void => {
  if (a.dtype !== b.dtype) wrong(`it takes ${a.dtype} and ${b.dtype}`);
};

export function scatteredElements(call: Call): readonly Known[] {
  const at = elementwise(call);
  const updates = call.inputs[2] as Known;
  sameType(first(call), updates);
  if (!sameShape(at.shape, updates.shape)) wrong("its indices and updates differ in shape");
  return same(call);
}

export function scatteredSlices(call: Call): readonly Known[] {
  const { shape } = first(call);
  const at = indices(call.inputs[1]).shape;
  const updates = call.inputs[2] as Known;
  const depth = at.at(-1) ?? wrong("its indices have no axis");
  sameType(first(call), updates);
  if (depth > shape.length || !sameShape(updates.shape, [...at.slice(0, -1), ...shape.slice(depth)]))
    wrong(`updates ${formatShape(updates.shape)} at ${formatShape(at)} do not fit ${formatShape(shape)}`);
  return same(call);
}

export function multiplied({ inputs }: Call): readonly Known[] {
  const [a, b] = inputs as [Known, Known];
  sameType(a, b);
  const [m, k] = a.shape.slice(-2) as [number, number];
  const [inner, n] = b.shape.slice(-2) as [number, number];
  if (a.shape.length < 2 || b.shape.length < 2 || k !== inner)
    wrong(`it multiplies ${formatShape(a.shape)} by ${formatShape(b.shape)}`);
  return [
    { shape: [...broadcastShapes("its inputs", a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n], dtype: a.dtype },
  ];
}

/** Either may be turned. */
export function multipliedTurned(call: Call): readonly Known[] {
  const [a, b] = call.inputs as [Known, Known];
  const turned = (x: Known, name: string) =>
    integer(call, name, 0) === 0 ? x : { ...x, shape: [...x.shape.slice(0, -2), ...x.shape.slice(-2).reverse()] };
  return multiplied({ inputs: [turned(a, "transA"), turned(b, "transB")], attributes: call.attributes });
}

/** The same of matrices; a third value is added. */
export function multipliedFlat(call: Call): readonly Known[] {
  const [a, b, added] = call.inputs as [Known, Known, Known?];
  if (a.shape.length !== 2 || b.shape.length !== 2) wrong("it multiplies what are no matrices");
  const [product] = multipliedTurned(call) as [Known];
  if (!added) return [product];
  sameType(a, added);
  if (!sameShape(broadcastShapes("its inputs", product.shape, added.shape), product.shape))
    wrong(`it adds ${formatShape(added.shape)} to ${formatShape(product.shape)}`);
  return [product];
}

/** The norm's axes are from `axis` on; gain and bias have their shape; the statistics keep them as 1. */
export function normalized(call: Call): readonly Known[] {
  const { shape, dtype } = first(call);
  const axis = position(call);
  for (const parameter of call.inputs.slice(1)) {
    sameType(first(call), parameter);
    if (!sameShape(parameter.shape, shape.slice(axis)))
      wrong(`a parameter ${formatShape(parameter.shape)} does not fit ${formatShape(shape)} from axis ${axis}`);
  }
  const statistic = { shape: shape.map((n, i) => (i < axis ? n : 1)), dtype: "float32" as const };
  return [{ shape, dtype }, statistic, statistic];
}
