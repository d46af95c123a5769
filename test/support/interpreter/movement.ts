import type { Node, Tensor } from "../../../src/tensor/index.js";
import { eachIndex, makeValue, offset, read, replaceAt, type Value } from "./value.js";

type Rule = (node: Node, inputs: readonly Value[]) => Value[];

const outputShape = (node: Node): readonly number[] => (node.outputs[0] as Tensor).shape;
const axisOf = (node: Node): number => (node.attributes as { axis: number }).axis;
const first: Rule = (_, [x]) => [x as Value];
/** A negative index counts from the end. */
const wrap = (i: number, n: number): number => (i < 0 ? i + n : i);

const transpose: Rule = (node, [x]) => {
  const { permutation } = node.attributes as { permutation: readonly number[] };
  return [
    makeValue(outputShape(node), (index) =>
      read(
        x as Value,
        permutation.map((_, axis) => index[permutation.indexOf(axis)] as number),
      ),
    ),
  ];
};

const slice: Rule = (node, [x]) => {
  const { axis, start, step } = node.attributes as { axis: number; start: number; step: number };
  return [
    makeValue(outputShape(node), (index) =>
      read(x as Value, replaceAt(index, axis, start + step * (index[axis] as number))),
    ),
  ];
};

const split: Rule = (node, [x]) => {
  const { axis, lengths } = node.attributes as { axis: number; lengths: readonly number[] };
  return lengths.map((length, k) => {
    const start = lengths.slice(0, k).reduce((a, b) => a + b, 0);
    const { shape } = x as Value;
    return makeValue(replaceAt(shape, axis, length), (index) =>
      read(x as Value, replaceAt(index, axis, start + (index[axis] as number))),
    );
  });
};

const pad: Rule = (node, [x]) => {
  const { before, value } = node.attributes as { before: readonly number[]; value: number };
  const input = x as Value;
  return [
    makeValue(outputShape(node), (index) => {
      const source = index.map((i, axis) => i - (before[axis] as number));
      return source.every((i, axis) => i >= 0 && i < (input.shape[axis] as number))
        ? (input.data[offset(input.shape, source)] as number)
        : value;
    }),
  ];
};

const concat: Rule = (node, inputs) => {
  const axis = axisOf(node);
  return [
    makeValue(outputShape(node), (index) => {
      let position = index[axis] as number;
      for (const x of inputs) {
        const n = x.shape[axis] as number;
        if (position < n) return read(x, replaceAt(index, axis, position));
        position -= n;
      }
      return Number.NaN;
    }),
  ];
};

const gather: Rule = (node, inputs) => {
  const [x, indices] = inputs as [Value, Value];
  const axis = axisOf(node);
  const rank = indices.shape.length;
  return [
    makeValue(outputShape(node), (index) => {
      const chosen = read(indices, index.slice(axis, axis + rank));
      return read(x, [...index.slice(0, axis), wrap(chosen, x.shape[axis] as number), ...index.slice(axis + rank)]);
    }),
  ];
};

const takeAlongAxis: Rule = (node, inputs) => {
  const [x, indices] = inputs as [Value, Value];
  const axis = axisOf(node);
  return [
    makeValue(
      indices.shape,
      (index, flat) =>
        x.data[
          plainOffset(x, replaceAt(index, axis, wrap(indices.data[flat] as number, x.shape[axis] as number)))
        ] as number,
    ),
  ];
};

/** Without broadcasting: an index may be 0 along an axis of 1 only. */
const plainOffset = ({ shape }: Value, index: readonly number[]): number =>
  index.reduce((position, i, axis) => position * (shape[axis] as number) + i, 0);

/** A copy of x with updates added at the places `target` names. */
function added(x: Value, updates: Value, target: (index: readonly number[], flat: number) => number[]): Value[] {
  const result = { shape: x.shape, data: x.data.slice() };
  eachIndex(updates.shape, (index, flat) => {
    const place = plainOffset(x, target(index, flat));
    result.data[place] = (result.data[place] as number) + (updates.data[flat] as number);
  });
  return [result];
}

const scatterAdd: Rule = (node, inputs) => {
  const [x, indices, updates] = inputs as [Value, Value, Value];
  const axis = axisOf(node);
  return added(x, updates, (index, flat) =>
    replaceAt(index, axis, wrap(indices.data[flat] as number, x.shape[axis] as number)),
  );
};

const indexAdd: Rule = (_, inputs) => {
  const [x, indices, updates] = inputs as [Value, Value, Value];
  const rank = indices.shape.length;
  return added(x, updates, (index) => [
    wrap(read(indices, index.slice(0, rank)), x.shape[0] as number),
    ...index.slice(rank),
  ]);
};

const indexPut: Rule = (_, inputs) => {
  const [x, indices, updates] = inputs as [Value, Value, Value];
  const lead = indices.shape.length - 1;
  const depth = indices.shape[lead] as number;
  const result = { shape: x.shape, data: x.data.slice() };
  eachIndex(updates.shape, (index, flat) => {
    const named = Array.from({ length: depth }, (_, i) => read(indices, [...index.slice(0, lead), i]));
    result.data[plainOffset(x, [...named, ...index.slice(lead)])] = updates.data[flat] as number;
  });
  return [result];
};

export const movementRules: Readonly<Record<string, Rule>> = {
  fill: (node, [x]) => [makeValue(outputShape(node), () => (x as Value).data[0] as number)],
  expand: (node, [x]) => [makeValue(outputShape(node), (index) => read(x as Value, index))],
  reshape: (node, [x]) => [{ shape: outputShape(node), data: (x as Value).data }],
  transpose,
  slice,
  split,
  pad,
  concat,
  gather,
  takeAlongAxis,
  scatterAdd,
  indexAdd,
  indexPut,
  stopGradient: first,
  straightThrough: first,
  customGradient: first,
  after: first,
};
