/** Companded linear layers and convolutions, the function and its inverse, and short trainings with fixed and learned a, b. */
import { Conv2d, companders, Linear, Module, WeightCompander, type Weighted } from "../../nn/index.js";
import { sgd } from "../../optim/index.js";
import { compile } from "../../runtime/index.js";
import { crossEntropy, grad, NDArray, type Tensor, tensor } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import type { GoldenKind } from "./index.js";
import { runOnce } from "./run-once.js";
import { entry } from "./steps.js";

export const kinds: readonly GoldenKind[] = [
  { matches: (file) => file.has("x", "v", "a", "b", "w", "out_weights"), run: layerCase },
  { matches: (file) => file.has("grid", "psi", "dpsi", "w", "w_back"), run: functionCase },
  { matches: (file) => file.has("init.v1", "init.a1", "inputs", "loss_per_step"), run: trainingCase },
];

const direct = { abParam: "direct" } as const;

function layerOf(file: GoldenCase): Weighted {
  const [outputs, inputs, ...kernel] = file.take("v").shape as [number, number, ...number[]];
  const bias = file.has("bias");
  if (file.text("layer") === "linear") return new Linear(inputs, outputs, { bias });
  const groups = file.number("groups");
  return new Conv2d(inputs * groups, outputs, kernel, { bias, padding: file.number("padding"), groups });
}

async function layerCase(file: GoldenCase): Promise<void> {
  const layer = layerOf(file);
  const values = new Map([["weight", file.take("v")]]);
  if (file.has("bias")) values.set("bias", file.take("bias"));
  layer.loadStateDict(values);
  const compander = new WeightCompander(file.take("a"), file.take("b"), direct);
  layer.parametrizations.push(compander);
  const upstream = tensor(file.take("out_weights"));
  const bias = Reflect.get(layer, "bias") as Tensor | undefined;
  const results = await runOnce({ x: file.take("x") }, ({ x }) => {
    const y = layer.apply(x as Tensor);
    const of: Record<string, Tensor> = { x: x as Tensor, v: layer.weight, a: compander.a, b: compander.b };
    if (bias) of.bias = bias;
    const gradients = grad(y.mul(upstream).sum(), Object.values(of));
    return {
      y,
      w: compander.apply(layer.weight),
      ...Object.fromEntries(Object.keys(of).map((name, i) => [`grad_${name}`, gradients[i] as Tensor])),
    };
  });
  for (const [name, value] of Object.entries(results)) file.compare(name, value);
}

async function functionCase(file: GoldenCase): Promise<void> {
  const [a, b] = [file.number("a"), file.number("b")];
  const w = file.take("w");
  const inverse = NDArray.from(
    w.toNumbers().map((value) => companders.atan.inverse(value, a, b)),
    "float32",
    w.shape,
  );
  file.compare("v", inverse);
  const compander = new WeightCompander(NDArray.from([a]), NDArray.from([b]), direct);
  const results = await runOnce({ v: inverse, grid: file.take("grid") }, ({ v, grid }) => {
    const psi = compander.apply(grid as Tensor);
    return { w_back: compander.apply(v as Tensor), psi, dpsi: grad(psi.sum(), [grid as Tensor])[0] as Tensor };
  });
  for (const [name, value] of Object.entries(results)) file.compare(name, value);
}

class Net extends Module {
  constructor(
    readonly first: Linear,
    readonly second: Linear,
  ) {
    super();
  }

  override forward(x: Tensor): Tensor {
    return this.second.apply(this.first.apply(x).tanh());
  }
}

async function trainingCase(file: GoldenCase): Promise<void> {
  const learn = file.flag("learn_a_b");
  const layers = [1, 2].map((i) => {
    const [v, c] = [file.take(`init.v${i}`), file.take(`init.c${i}`)];
    const layer = new Linear(v.shape[1] as number, v.shape[0] as number);
    layer.loadStateDict(
      new Map([
        ["weight", v],
        ["bias", c],
      ]),
    );
    const [a, b] = ["a", "b"].map((name) => file.take(`init.${name}${i}`)) as [NDArray, NDArray];
    layer.parametrizations.push(new WeightCompander(a, b, { ...direct, learn }));
    return layer;
  }) as [Linear, Linear];
  const net = new Net(...layers);
  const optimizer = sgd(net.parameters(), {
    learningRate: file.number("lr"),
    momentum: file.number("momentum"),
    weightDecay: file.number("weight_decay"),
    groups: learn ? [{ match: "**.parametrizations.**", options: { weightDecay: 0 } }] : [],
  });
  const step = compile(({ x, y }) => {
    const loss = crossEntropy(net.apply(x as Tensor), y as Tensor);
    optimizer.update(grad(loss, optimizer.parameters));
    return { loss };
  });
  const [inputs, labels] = [file.take("inputs"), file.take("labels")];
  const losses: number[] = [];
  for (let i = 0; i < (inputs.shape[0] as number); i++) {
    const { loss } = await step({ x: entry(inputs, i), y: entry(labels, i) });
    losses.push((loss as NDArray).toNumbers()[0] as number);
  }
  await step.release();
  file.compare("loss_per_step", losses);
  for (const [i, layer] of layers.entries()) {
    const state = await layer.stateDict();
    const names = { v: "weight", c: "bias", a: "parametrizations.0.a", b: "parametrizations.0.b" };
    for (const [theirs, ours] of Object.entries(names))
      file.compare(`final.${theirs}${i + 1}`, state.get(ours) as NDArray);
  }
}
