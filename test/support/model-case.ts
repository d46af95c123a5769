/** Reference cases of models, as scripts/reference/vision.py writes them. */
import { readSafetensors } from "../../src/data/safetensors-file.js";
import { compile, grad, NDArray, nn, optim, type Tensor, tensor, training } from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";
import { goldenPath } from "./golden.js";

export interface ModelCase {
  readonly weights: Map<string, NDArray>;
  readonly gradients: Map<string, NDArray>;
  get(name: string): NDArray;
}

export async function modelCase(name: string): Promise<ModelCase> {
  const { tensors } = await readSafetensors(goldenPath(`models/${name}.safetensors`));
  const below = (prefix: string) =>
    new Map(
      [...tensors].flatMap(([key, value]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [])),
    );
  const get = (key: string) => {
    const found = tensors.get(key);
    if (!found) throw new Error(`${name}: no tensor ${key}`);
    return found;
  };
  return { weights: below("w."), gradients: below("grad."), get };
}

/** Weights as a file that is read tensor by tensor. */
export const sourceOf = (weights: ReadonlyMap<string, NDArray>): nn.WeightSource => ({
  tensors: weights,
  read: async (name) => weights.get(name) as NDArray,
});

/** Largest error of a program's output against a reference. */
export async function errorOf(
  inputs: Record<string, NDArray>,
  body: (inputs: Record<string, Tensor>) => Tensor,
  expected: NDArray,
): Promise<number> {
  const program = compile((given: Record<string, Tensor>) => ({ y: body(given) }));
  const { y } = (await program(inputs)) as { y: NDArray };
  await program.release();
  if (y.shape.join() !== expected.shape.join()) throw new Error(`shape [${y.shape}], expected [${expected.shape}]`);
  return relativeError(y.toNumbers(), expected.toNumbers());
}

/** Gradients of Σ loss_weights · output by path, as the layout names them. */
export async function gradientsOf(
  model: nn.Module<never, unknown>,
  inputs: Record<string, NDArray>,
  body: (inputs: Record<string, Tensor>) => Tensor,
): Promise<Map<string, NDArray>> {
  const variables = [...model.namedVariables()].filter(([, variable]) => variable.trainable);
  const program = compile((given: Record<string, Tensor>) => {
    const loss = body(given)
      .mul(given.loss_weights as Tensor)
      .sum();
    const gradients = grad(
      loss,
      variables.map(([, variable]) => variable),
    );
    return Object.fromEntries(variables.map(([path], i) => [path, gradients[i] as Tensor]));
  });
  const found = (await program(inputs)) as Record<string, NDArray>;
  await program.release();
  return new Map(Object.entries(found));
}

/** Losses of a few steps of training towards classes 0, 1, …: finite, and the parameters move. */
export async function trainSteps(
  model: nn.Module<never, unknown>,
  inputs: Record<string, NDArray>,
  body: (inputs: Record<string, Tensor>) => Tensor,
  steps = 1,
): Promise<{ losses: number[]; moved: boolean }> {
  const parameters = model.parameters();
  const before = await Promise.all(parameters.map(async (p) => (await p.data()).toNumbers()));
  const optimizer = optim.adamW(parameters, { learningRate: 1e-2 });
  const step = compile((given: Record<string, Tensor>) =>
    training(() => {
      const logits = body(given);
      const targets = NDArray.from(
        Array.from({ length: logits.dim(0) }, (_, i) => i % logits.dim(-1)),
        "int32",
      );
      const loss = nn.crossEntropy(logits, tensor(targets));
      optimizer.update(grad(loss, parameters));
      return { loss };
    }),
  );
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) losses.push(((await step(inputs)) as { loss: NDArray }).loss.item());
  await step.release();
  const after = await Promise.all(parameters.map(async (p) => (await p.data()).toNumbers()));
  return { losses, moved: after.some((values, i) => values.some((v, j) => v !== before[i]?.[j])) };
}

export const image = (...shape: number[]): NDArray =>
  NDArray.from(
    Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(1.7 * i + 0.3 * ((i * i) % 17))),
    "float32",
    shape,
  );
