import type { Node, Tensor } from "../../../src/tensor/index.js";
import { eachIndex, makeValue, read, type Value } from "./value.js";

type Rule = (node: Node, inputs: readonly Value[]) => Value[];

const outputShape = (node: Node): readonly number[] => (node.outputs[0] as Tensor).shape;

const matmul: Rule = (node, inputs) => {
  const [a, b, bias] = inputs as [Value, Value, Value | undefined];
  const { transposeA, transposeB } = node.attributes as { transposeA: boolean; transposeB: boolean };
  const inner = a.shape.at(transposeA ? -2 : -1) as number;
  return [
    makeValue(outputShape(node), (index) => {
      const batch = index.slice(0, -2);
      const [row, column] = index.slice(-2) as [number, number];
      let sum = bias ? (bias.data[column] as number) : 0;
      for (let k = 0; k < inner; k++) {
        const left = read(a, [...batch, ...(transposeA ? [k, row] : [row, k])]);
        sum += left * read(b, [...batch, ...(transposeB ? [column, k] : [k, column])]);
      }
      return sum;
    }),
  ];
};

interface Window {
  readonly stride: readonly number[];
  readonly before: readonly number[];
  readonly dilation?: readonly number[];
}

/** Places a window covers inside the input: (place in the window, place in the input), padding skipped. */
function eachPlace(
  kernel: readonly number[],
  input: readonly number[],
  output: readonly number[],
  { stride, before, dilation }: Window,
  visit: (inWindow: readonly number[], inInput: readonly number[]) => void,
): void {
  eachIndex(kernel, (k) => {
    const place = k.map(
      (i, axis) =>
        (output[axis] as number) * (stride[axis] as number) - (before[axis] as number) + i * (dilation?.[axis] ?? 1),
    );
    if (place.every((p, axis) => p >= 0 && p < (input[axis] as number))) visit(k, place);
  });
}

const convolution: Rule = (node, inputs) => {
  const [x, stored] = inputs as [Value, Value];
  const geometry = node.attributes as Window & { groups: number; turned?: boolean };
  const weight = geometry.turned ? turnedRound(stored) : stored;
  const [out, perGroup, ...kernel] = weight.shape as [number, number, ...number[]];
  return [
    makeValue(outputShape(node), ([n, o, ...place]) => {
      const group = Math.floor((o as number) / (out / geometry.groups));
      let sum = 0;
      eachPlace(kernel, x.shape.slice(2), place, geometry, (k, at) => {
        for (let c = 0; c < perGroup; c++)
          sum += read(x, [n as number, group * perGroup + c, ...at]) * read(weight, [o as number, c, ...k]);
      });
      return sum;
    }),
  ];
};

/** [in, out, k] as [out, in, k], each kernel from its last place to its first. */
function turnedRound(weight: Value): Value {
  const [inputs, outputs, ...kernel] = weight.shape as [number, number, ...number[]];
  return makeValue([outputs, inputs, ...kernel], ([o, i, ...k]) =>
    read(weight, [i as number, o as number, ...k.map((place, axis) => (kernel[axis] as number) - 1 - place)]),
  );
}

/** Every input place adds its weighted kernel to the output places a convolution would have read it from. */
const convolutionTranspose: Rule = (node, inputs) => {
  const [x, weight] = inputs as [Value, Value];
  const geometry = node.attributes as Window & { groups: number };
  const [channels, perGroup, ...kernel] = weight.shape as [number, number, ...number[]];
  const shape = outputShape(node);
  const result = makeValue(shape, () => 0);
  eachIndex(x.shape, ([n, c, ...place], flat) => {
    const group = Math.floor((c as number) / (channels / geometry.groups));
    eachPlace(kernel, shape.slice(2), place, geometry, (k, at) => {
      for (let o = 0; o < perGroup; o++) {
        const target = [n as number, group * perGroup + o, ...at].reduce(
          (p, i, axis) => p * (shape[axis] as number) + i,
          0,
        );
        result.data[target] =
          (result.data[target] as number) + (x.data[flat] as number) * read(weight, [c as number, o, ...k]);
      }
    });
  });
  return [result];
};

const maxPool: Rule = (node, inputs) => {
  const [x] = inputs as [Value];
  const window = node.attributes as Window & { kernel: readonly number[] };
  const indices = makeValue(outputShape(node), ([n, c, ...place]) => {
    let best = -1;
    eachPlace(window.kernel, x.shape.slice(2), place, window, (_, at) => {
      const flat = [n as number, c as number, ...at].reduce((p, i, axis) => p * (x.shape[axis] as number) + i, 0);
      if (best < 0 || (x.data[flat] as number) > (x.data[best] as number)) best = flat;
    });
    return best;
  });
  return [makeValue(indices.shape, (_, flat) => x.data[indices.data[flat] as number] as number), indices];
};

const averagePool: Rule = (node, inputs) => {
  const [x] = inputs as [Value];
  const window = node.attributes as Window & { kernel: readonly number[]; countIncludePad: boolean };
  return [
    makeValue(outputShape(node), ([n, c, ...place]) => {
      let sum = 0;
      let inside = 0;
      eachPlace(window.kernel, x.shape.slice(2), place, window, (_, at) => {
        sum += read(x, [n as number, c as number, ...at]);
        inside++;
      });
      return sum / (window.countIncludePad ? window.kernel.reduce((a, b) => a * b, 1) : inside);
    }),
  ];
};

export const productRules: Readonly<Record<string, Rule>> = {
  matmul,
  convolution,
  convolutionTranspose,
  maxPool,
  averagePool,
};
