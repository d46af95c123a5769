/**
 * A layer over several training steps with fixed parameters, all steps stacked along the first axis of each tensor: inputs
 * `x`, weights of the loss `w` (loss = Σ w y), outputs `y`, gradients, and the state after each step's backward pass.
 */
import type { AnyModule, Module } from "../../nn/index.js";
import { withInputs } from "../../nn/index.js";
import { compile } from "../../runtime/index.js";
import { inference, NDArray, type Tensor, training } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import { namedGradients, runOnce } from "./run-once.js";
import { entry } from "./steps.js";

export interface StackedNames {
  /** Bool [steps, batch, tokens], true where real, if the file has padding. */
  readonly real?: NDArray | undefined;
  /** The file's name for a variable's gradient (default `grad_<name>`), undefined where it has none. */
  readonly gradient?: (name: string) => string;
  /** The file's name for a state variable (default its own). */
  readonly state?: (name: string) => string;
  /** Numbers of the layer before each step, by the file's names. */
  readonly before?: () => Promise<Readonly<Record<string, number>>>;
  /** A state variable as the file keeps it. */
  readonly read?: (name: string, value: NDArray) => NDArray;
}

/** Compares whatever the file has of outputs, gradients and states; the layer is left as after the last step. */
export async function runStacked(file: GoldenCase, layer: Module, names: StackedNames = {}): Promise<void> {
  const {
    real,
    gradient = (name) => `grad_${name}`,
    state = (name) => name,
    read = (_, value) => value,
    before,
  } = names;
  const [x, w] = [file.take("x"), file.take("w")];
  const program = compile((inputs: Record<string, Tensor>) => {
    const { x, w, padding } = inputs as { x: Tensor; w: Tensor; padding?: Tensor };
    const y = training(() => withInputs(padding ? { padding } : {}, () => layer.apply(x)));
    return { y, ...namedGradients(y.mul(w).sum(), layer, { x }) };
  });
  const seen = new Map<string, NDArray[]>();
  const note = (name: string, value: NDArray) => seen.set(name, [...(seen.get(name) ?? []), value]);
  for (let i = 0; i < (x.shape[0] as number); i++) {
    const feeds = { x: entry(x, i), w: entry(w, i), ...(real && { padding: entry(real, i) }) };
    for (const [name, value] of Object.entries((await before?.()) ?? {})) note(name, NDArray.from([value]));
    const { observed: _, ...results } = await program(feeds);
    for (const [name, value] of Object.entries(results as Record<string, NDArray>))
      note(name === "y" ? "y" : gradient(name.slice("grad.".length)), value);
    for (const [name, value] of await stateOf(layer)) note(state(name), read(name, value));
  }
  await program.release();
  for (const [name, values] of seen) file.compare(name, stack(values));
}

/** The variables that are not trained. */
const stateOf = async (layer: AnyModule): Promise<[string, NDArray][]> =>
  Promise.all(
    [...layer.namedVariables()]
      .filter(([, { trainable }]) => !trainable)
      .map(async ([name, variable]): Promise<[string, NDArray]> => [name, await variable.data()]),
  );

const stack = (values: readonly NDArray[]): NDArray =>
  NDArray.from(
    values.flatMap((value) => value.toNumbers()),
    values[0]?.dtype,
    [values.length, ...(values[0]?.shape ?? [])],
  );

/** `eval.x` to `eval.y`. */
export async function runEval(file: GoldenCase, layer: Module): Promise<void> {
  const { y } = await runOnce({ x: file.take("eval.x") }, ({ x }) => ({
    y: inference(() => layer.apply(x as Tensor)),
  }));
  file.compare("eval.y", y as NDArray);
}

/** `pad_mask`, true where padding, as the side input has it: true where real. */
export function realOf(file: GoldenCase): NDArray | undefined {
  if (!file.has("pad_mask")) return undefined;
  const mask = file.take("pad_mask");
  return NDArray.from(
    mask.toNumbers().map((padding) => 1 - padding),
    "bool",
    mask.shape,
  );
}
