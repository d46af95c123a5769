/**
 * A layer with running statistics over several training steps with fixed parameters: inputs `x.i`, outputs `out.i`, upstream
 * gradients `grad_out.i`, gradients `grad.<name>.i`, the state after each step, and an output in inference (`x.eval`).
 */
import type { AnyModule, Module } from "../../nn/index.js";
import { inference, NDArray, sizeOf, type Tensor, tensor, training } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import { namedGradients, runOnce } from "./run-once.js";

export interface StepNames {
  /** The file's name for a variable's gradient at a step; default `grad.<name>.<i>`. */
  readonly gradient?: (name: string, step: number) => string;
  /** The file's name for a state variable after `step` steps; undefined where the file has none. */
  readonly state: (name: string, step: number) => string | undefined;
  /** Whether a variable's gradient is zero but for rounding: a bias in front of a norm. */
  readonly vanishes?: (name: string) => boolean;
  /** Called before each step. */
  readonly before?: (step: number) => void;
}

export async function runSteps(
  file: GoldenCase,
  layer: Module,
  { gradient = (name, step) => `grad.${name}.${step}`, state, before, vanishes = () => false }: StepNames,
): Promise<void> {
  let step = 0;
  for (; file.has(`x.${step}`); step++) {
    before?.(step);
    const upstream = tensor(file.take(`grad_out.${step}`));
    const results = await runOnce({ x: file.take(`x.${step}`) }, ({ x }) => {
      const out = training(() => layer.apply(x as Tensor));
      return { out, ...namedGradients(out.mul(upstream).sum(), layer, { x: x as Tensor }) };
    });
    file.compare(`out.${step}`, results.out as NDArray);
    const gradients = Object.entries(results).filter(([key]) => key.startsWith("grad."));
    const scale = Math.max(...gradients.map(([, value]) => largest(value)));
    for (const [key, value] of gradients) {
      const [name, theirs] = [key.slice("grad.".length), gradient(key.slice("grad.".length), step)];
      if (vanishes(name) && file.has(theirs)) file.vanishes(theirs, value, scale);
      else file.compare(theirs, value);
    }
    await compareState(file, layer, (name) => state(name, step + 1));
  }
  if (!file.has("x.eval")) return;
  const { out } = await runOnce({ x: file.take("x.eval") }, ({ x }) => ({
    out: inference(() => layer.apply(x as Tensor)),
  }));
  file.compare("out.eval", out as NDArray);
}

export async function compareState(
  file: GoldenCase,
  layer: AnyModule,
  nameOf: (name: string) => string | undefined,
): Promise<void> {
  for (const [name, value] of await layer.stateDict()) {
    const theirs = nameOf(name);
    if (theirs !== undefined) file.compare(theirs, value);
  }
}

const largest = (array: NDArray): number => array.toNumbers().reduce((max, x) => Math.max(max, Math.abs(x)), 0);

/** Entry i along the first axis: what belongs to one step. */
export function entry(array: NDArray, i: number): NDArray {
  const shape = array.shape.slice(1);
  const size = sizeOf(shape);
  return NDArray.from(array.toNumbers().slice(i * size, (i + 1) * size), array.dtype, shape);
}
