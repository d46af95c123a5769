/** The same for operators that slide a window: convolutions and pooling over [batch, channels, …] values. */
import { formatShape } from "../../tensor/index.js";
import { type Call, type Known, wrong } from "./shapes.js";

interface Window {
  readonly size: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** One number for each axis after the first two, each at least `least`. */
function numbers(
  { attributes }: Call,
  name: string,
  count: number,
  least: number,
  otherwise: number,
): readonly number[] {
  const given = (attributes.get(name) as readonly number[] | undefined) ?? Array(count).fill(otherwise);
  if (given.length !== count || given.some((n) => n < least)) wrong(`${name} ${formatShape(given)} for ${count} axes`);
  return given;
}

function windowOf(call: Call, size: readonly number[]): Window {
  const axes = size.length;
  if (axes < 1 || size.some((n) => n < 1)) wrong(`its window is ${formatShape(size)}`);
  const pads = numbers(call, "pads", 2 * axes, 0, 0);
  return {
    size,
    stride: numbers(call, "strides", axes, 1, 1),
    dilation: numbers(call, "dilations", axes, 1, 1),
    before: pads.slice(0, axes),
    after: pads.slice(axes),
  };
}

const reach = ({ size, dilation }: Window, i: number): number =>
  ((size[i] as number) - 1) * (dilation[i] as number) + 1;

function slid(space: readonly number[], window: Window): number[] {
  return space.map((n, i) => {
    const room = n + (window.before[i] as number) + (window.after[i] as number) - reach(window, i);
    return room < 0
      ? wrong(`its window is wider than axis ${i + 2}`)
      : Math.floor(room / (window.stride[i] as number)) + 1;
  });
}

export function pooled(call: Call): readonly Known[] {
  const { shape, dtype } = call.inputs[0] as Known;
  const space = shape.slice(2);
  const window = windowOf(call, numbers(call, "kernel_shape", space.length, 1, 0));
  if (
    space.some((_, i) => Math.max(window.before[i] as number, window.after[i] as number) >= (window.size[i] as number))
  )
    wrong("its padding is as wide as its window");
  const result = [...shape.slice(0, 2), ...slid(space, window)];
  return [
    { shape: result, dtype },
    { shape: result, dtype: "int64" },
  ];
}

function channels(call: Call): { x: Known; w: Known; groups: number; window: Window } {
  const [x, w] = call.inputs as [Known, Known];
  if (x.dtype !== w.dtype || x.shape.length !== w.shape.length || x.shape.length < 3)
    wrong(`it convolves ${x.dtype}${formatShape(x.shape)} with ${w.dtype}${formatShape(w.shape)}`);
  const groups = (call.attributes.get("group") as number | undefined) ?? 1;
  if (groups < 1) wrong(`it has ${groups} groups`);
  const size = w.shape.slice(2);
  const said = numbers(call, "kernel_shape", size.length, 1, 1);
  if (call.attributes.has("kernel_shape") && said.some((n, i) => n !== size[i]))
    wrong(`its window is said to be ${formatShape(said)}, its weight is ${formatShape(w.shape)}`);
  return { x, w, groups, window: windowOf(call, size) };
}

/** Weight [out, in / groups, …]. */
export function convolved(call: Call): readonly Known[] {
  const { x, w, groups, window } = channels(call);
  const [outputs, inputs] = w.shape as [number, number];
  if (inputs * groups !== x.shape[1] || outputs % groups !== 0)
    wrong(`weight ${formatShape(w.shape)} in ${groups} groups does not fit ${formatShape(x.shape)}`);
  return [{ shape: [x.shape[0] as number, outputs, ...slid(x.shape.slice(2), window)], dtype: x.dtype }];
}

/** Weight [in, out / groups, …]. */
export function convolvedBack(call: Call): readonly Known[] {
  const { x, w, groups, window } = channels(call);
  const [inputs, outputs] = w.shape as [number, number];
  if (inputs !== x.shape[1] || inputs % groups !== 0)
    wrong(`weight ${formatShape(w.shape)} in ${groups} groups does not fit ${formatShape(x.shape)}`);
  const extra = numbers(call, "output_padding", window.size.length, 0, 0);
  const space = x.shape.slice(2).map((n, i) => {
    const [stride, before, after] = [window.stride[i], window.before[i], window.after[i]] as [number, number, number];
    const length = (n - 1) * stride + reach(window, i) + (extra[i] as number) - before - after;
    return length < 0 ? wrong(`axis ${i + 2} would have ${length} places`) : length;
  });
  return [{ shape: [x.shape[0] as number, outputs * groups, ...space], dtype: x.dtype }];
}
