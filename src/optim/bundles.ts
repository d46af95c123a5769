/**
 * What is updated by one expression: a large parameter, or all small ones laid end to end. A model has many small tensors
 * (gains, biases), and a dozen operations on each would cost more to start than to do.
 */
import { concat, type DType, fail, type Shape, type Tensor, type Variable } from "../tensor/index.js";

export interface Bundle {
  /** The parameter's own name, or `small.<mark>.<dtype>`. */
  readonly name: string;
  readonly parameters: readonly Variable[];
  readonly indices: readonly number[];
  /** Of what `join` gives: the parameter's own, or flat. */
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Elements up to which a parameter is small: copying it costs less than starting its operations. */
const small = 16384;

/** Small parameters of one mark (their group) and type go together; without `bundle` each one stays alone. */
export function bundles(
  parameters: readonly Variable[],
  labels: readonly string[],
  { bundle = true, marks }: { readonly bundle?: boolean; readonly marks?: readonly string[] } = {},
): Bundle[] {
  const members = new Map<string, number[]>();
  for (const [i, { size, dtype }] of parameters.entries()) {
    const key = bundle && size <= small ? `small.${marks?.[i] ?? 0}.${dtype}` : (labels[i] as string);
    members.set(key, [...(members.get(key) ?? []), i]);
  }
  return [...members].map(([name, indices]) => {
    const own = indices.map((i) => parameters[i] as Variable);
    const [{ shape, dtype }] = own as [Variable];
    const flat = [own.reduce((sum, { size }) => sum + size, 0)];
    return { name, parameters: own, indices, shape: own.length === 1 ? shape : flat, dtype };
  });
}

export const join = (tensors: readonly Tensor[]): Tensor =>
  tensors.length === 1 ? (tensors[0] as Tensor) : concat(tensors.map((x) => x.reshape([-1])));

/** What `join` laid end to end, each part with its own shape again. */
export const splitLike = (flat: Tensor, parts: readonly Variable[]): Tensor[] =>
  parts.length === 1
    ? [flat]
    : flat.split(parts.map(({ size }) => size)).map((piece, i) => piece.reshape((parts[i] as Variable).shape));

/** Paths where parameters have them (after `model.parameters()`), else their position. */
export function parameterNames(parameters: readonly Variable[]): string[] {
  const names = parameters.map((parameter, i) => parameter.name || `parameter.${i}`);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    fail("argument", `optimizer: two parameters are named "${twice}"; give variables names of their own`);
  return names;
}
