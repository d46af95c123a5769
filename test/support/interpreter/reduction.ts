import type { Node, Tensor } from "../../../src/tensor/index.js";
import { eachIndex, makeValue, read, replaceAt, type Value } from "./value.js";

type Rule = (node: Node, inputs: readonly Value[]) => Value[];

const outputShape = (node: Node): readonly number[] => (node.outputs[0] as Tensor).shape;
const axisOf = (node: Node): number => (node.attributes as { axis: number }).axis;
/** Compute once per line: what depends on an index only outside `axis` (or outside the last `-axis` axes). */
function perLine<T>(axis: number, compute: (index: readonly number[]) => T): (index: readonly number[]) => T {
  const known = new Map<string, T>();
  return (index) => {
    const key = axis < 0 ? index.slice(0, index.length + axis).join() : replaceAt(index, axis, 0).join();
    if (!known.has(key)) known.set(key, compute(index));
    return known.get(key) as T;
  };
}
const line = (x: Value, index: readonly number[], axis: number): number[] =>
  Array.from({ length: x.shape[axis] as number }, (_, i) => read(x, replaceAt(index, axis, i)));

/** Fold over `axes`, which stay as 1. */
const fold =
  (
    start: number,
    step: (total: number, x: number) => number,
    finish = (total: number, _count: number) => total,
  ): Rule =>
  (node, [x]) => {
    const input = x as Value;
    const shape = outputShape(node);
    const result = makeValue(shape, () => start);
    const kept = input.shape.map((_, axis) => (node.attributes as { axes: readonly number[] }).axes.includes(axis));
    eachIndex(input.shape, (index, flat) => {
      const target = index.map((i, axis) => (kept[axis] ? 0 : i));
      const place = target.reduce((position, i, axis) => position * (shape[axis] as number) + i, 0);
      result.data[place] = step(result.data[place] as number, input.data[flat] as number);
    });
    const count = input.data.length / Math.max(1, result.data.length);
    return [makeValue(shape, (_, flat) => finish(result.data[flat] as number, count))];
  };

const arg =
  (better: (a: number, b: number) => boolean): Rule =>
  (node, [x]) => [
    makeValue(outputShape(node), (index) => {
      const values = line(x as Value, index, axisOf(node));
      return values.reduce((best, v, i) => (better(v, values[best] as number) ? i : best), 0);
    }),
  ];

const cumsum: Rule = (node, [x]) => {
  const { axis, reverse, exclusive } = node.attributes as { axis: number; reverse: boolean; exclusive: boolean };
  const values = perLine(axis, (index) => line(x as Value, index, axis));
  return [
    makeValue(outputShape(node), (index) => {
      const here = index[axis] as number;
      return values(index).reduce((sum, v, i) => {
        const counts = reverse ? i > here : i < here;
        return counts || (i === here && !exclusive) ? sum + v : sum;
      }, 0);
    }),
  ];
};

const topK: Rule = (node, [x]) => {
  const { axis, largest } = node.attributes as { axis: number; largest: boolean };
  const ranked = perLine(axis, (index) => {
    const values = line(x as Value, index, axis);
    const order = values.map((_, i) => i);
    // Array sorting is stable: equal values keep their order.
    return order.sort((a, b) => (largest ? -1 : 1) * ((values[a] as number) - (values[b] as number)));
  });
  const indices = makeValue(outputShape(node), (index) => ranked(index)[index[axis] as number] as number);
  const values = makeValue(outputShape(node), (index, flat) =>
    read(x as Value, replaceAt(index, axis, indices.data[flat] as number)),
  );
  return [values, indices];
};

const softmax =
  (finish: (x: number, top: number, total: number) => number): Rule =>
  (node, [x]) => {
    const totals = perLine(axisOf(node), (index) => {
      const values = line(x as Value, index, axisOf(node));
      const top = Math.max(...values);
      return { top, total: values.reduce((sum, v) => sum + Math.exp(v - top), 0) };
    });
    return [
      makeValue(outputShape(node), (index) => {
        const { top, total } = totals(index);
        return finish(read(x as Value, index), top, total);
      }),
    ];
  };

interface Moments {
  readonly mean: number;
  readonly variance: number;
  readonly square: number;
}

/** Moments over the last `axes` axes at an index (whose last axes do not matter). */
const momentsOf = (x: Value, axes: number): ((index: readonly number[]) => Moments) =>
  perLine(-axes, (index) => {
    const lead = index.slice(0, x.shape.length - axes);
    const values: number[] = [];
    eachIndex(x.shape.slice(x.shape.length - axes), (tail) => values.push(read(x, [...lead, ...tail])));
    const average = (list: readonly number[]) => list.reduce((a, b) => a + b, 0) / list.length;
    const mean = average(values);
    return { mean, variance: average(values.map((v) => (v - mean) ** 2)), square: average(values.map((v) => v * v)) };
  });

const layerNorm: Rule = (node, [x, weight, bias]) => {
  const { axes, eps } = node.attributes as { axes: number; eps: number };
  const [y, , statistics] = node.outputs as [Tensor, Tensor, Tensor];
  const input = x as Value;
  const moments = momentsOf(input, axes);
  const scaled = makeValue(y.shape, (index) => {
    const { mean, variance } = moments(index);
    const tail = index.slice(index.length - axes);
    const normalized = (read(input, index) - mean) / Math.sqrt(variance + eps);
    return normalized * read(weight as Value, tail) + (bias ? read(bias, tail) : 0);
  });
  return [
    scaled,
    makeValue(y.shape, (index) => read(input, index) - moments(index).mean),
    makeValue(statistics.shape, (index) => 1 / Math.sqrt(moments(index).variance + eps)),
  ];
};

const rmsNorm: Rule = (node, [x, weight]) => {
  const { eps } = node.attributes as { eps: number };
  const [y, statistics] = node.outputs as [Tensor, Tensor];
  const moments = momentsOf(x as Value, 1);
  const inverse = (index: readonly number[]) => 1 / Math.sqrt(moments(index).square + eps);
  return [
    makeValue(y.shape, (index) => read(x as Value, index) * inverse(index) * read(weight as Value, index.slice(-1))),
    makeValue(statistics.shape, inverse),
  ];
};

const channelOf =
  (node: Node) =>
  (index: readonly number[]): number =>
    (node.attributes as { axis: 1 | -1 }).axis === 1 ? (index[1] as number) : (index.at(-1) as number);

const channelAffine: Rule = (node, [x, scale, shift, plus]) => {
  const channel = channelOf(node);
  return [
    makeValue((x as Value).shape, (index) => {
      const c = [channel(index)];
      const own = read(x as Value, index) * read(scale as Value, c) + read(shift as Value, c);
      return plus ? own + read(plus, index) : own;
    }),
  ];
};

const batchNorm: Rule = (node, [x, weight, bias]) => {
  const { eps } = node.attributes as { eps: number };
  const [input, channel] = [x as Value, channelOf(node)];
  const values = Array.from((weight as Value).data, () => [] as number[]);
  eachIndex(input.shape, (index, flat) => values[channel(index)]?.push(input.data[flat] as number));
  const average = (list: readonly number[]) => list.reduce((a, b) => a + b, 0) / list.length;
  const mean = values.map(average);
  const variance = values.map((list, c) => average(list.map((v) => (v - (mean[c] as number)) ** 2)));
  const centred = makeValue(
    input.shape,
    (index, flat) => (input.data[flat] as number) - (mean[channel(index)] as number),
  );
  const y = makeValue(input.shape, (index, flat) => {
    const c = channel(index);
    const normalized = (centred.data[flat] as number) / Math.sqrt((variance[c] as number) + eps);
    return normalized * read(weight as Value, [c]) + read(bias as Value, [c]);
  });
  const vector = (list: readonly number[]) => makeValue([list.length], ([c]) => list[c as number] as number);
  return [y, centred, vector(mean), vector(variance)];
};

export const reductionRules: Readonly<Record<string, Rule>> = {
  sum: fold(0, (total, x) => total + x),
  mean: fold(
    0,
    (total, x) => total + x,
    (total, count) => total / count,
  ),
  max: fold(Number.NEGATIVE_INFINITY, Math.max),
  min: fold(Number.POSITIVE_INFINITY, Math.min),
  argmax: arg((a, b) => a > b),
  argmin: arg((a, b) => a < b),
  cumsum,
  topK,
  softmax: softmax((x, top, total) => Math.exp(x - top) / total),
  logSoftmax: softmax((x, top, total) => x - top - Math.log(total)),
  layerNorm,
  rmsNorm,
  channelAffine,
  batchNorm,
};
