/** Standardised convolutions, batch-channel norm with batch and estimated statistics, and both in a short training. */
import {
  BatchChannelNorm,
  Conv2d,
  type EstimatedBatchNorm,
  Linear,
  Module,
  weightStandardization as standardization,
} from "../../nn/index.js";
import { sgd } from "../../optim/index.js";
import { compile } from "../../runtime/index.js";
import { crossEntropy, grad, type NDArray, type Tensor, tensor, training } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import type { GoldenKind } from "./index.js";
import { namedGradients, runOnce } from "./run-once.js";
import { compareState, runSteps } from "./steps.js";

const isConv = (file: GoldenCase) => file.has("standardized_weight", "x", "weight", "grad_out");
const isTraining = (file: GoldenCase) => file.has("param0.conv.weight", "param0.norm.bn.weight", "param0.fc.weight");
const isNorm = (file: GoldenCase) => file.has("param.weight", "param.bn.weight", "x.0", "running_mean.0");

export const kinds: readonly GoldenKind[] = [
  { matches: isConv, run: convolution },
  { matches: isTraining, run: trainingRun },
  { matches: isNorm, run: normSteps },
];

/** "weight / (std_unbiased + 1e-5)" or "weight / sqrt(var_unbiased + 1e-5)". */
function options(file: GoldenCase) {
  const text = file.metadata.eps ?? "sqrt(var_unbiased + 1e-5)";
  return {
    eps: Number(/([\d.]+e-?\d+)\)/.exec(text)?.[1]),
    epsMode: text.includes("sqrt") ? "inside" : "add",
    unbiased: !(file.metadata.variance ?? "unbiased").startsWith("biased"),
  } as const;
}

async function convolution(file: GoldenCase): Promise<void> {
  const [W, x] = [file.take("weight"), file.take("x")];
  const [stride, padding, dilation, groups] = ["stride", "padding", "dilation", "groups"].map((key) =>
    file.number(key),
  );
  const [outputs, perGroup, ...kernel] = W.shape as [number, number, ...number[]];
  const layer = new Conv2d(perGroup * (groups as number), outputs, kernel, {
    bias: file.has("bias"),
    stride: stride as number,
    padding: padding as number,
    dilation: dilation as number,
    groups: groups as number,
  });
  layer.loadStateDict(file.takeAll("", (name) => name === "weight" || name === "bias"));
  const standardize = standardization(options(file));
  layer.parametrizations.push(standardize);
  const upstream = tensor(file.take("grad_out"));
  const results = await runOnce({ x }, ({ x }) => {
    const out = layer.apply(x as Tensor);
    const gradients = namedGradients(out.mul(upstream).sum(), layer, { x: x as Tensor });
    return { out, standardized_weight: standardize.apply(layer.weight), ...gradients };
  });
  for (const [name, value] of Object.entries(results)) file.compare(name, value);
}

function normOf(file: GoldenCase, prefix: string): BatchChannelNorm {
  const width = file.take(`${prefix}bn.weight`).size;
  return new BatchChannelNorm(width, {
    groups: file.number("groups"),
    estimate: rates(file).length > 0,
    eps: Number(file.metadata.eps_channel ?? 1e-5),
    momentum: Number(file.metadata.bn_momentum ?? 0.1) || 0.1,
  });
}

const rates = (file: GoldenCase): number[] => (file.metadata.update_rates || "").split(",").filter(Boolean).map(Number);
const setRate = (file: GoldenCase, norm: BatchChannelNorm, step: number): void =>
  (norm.bn as EstimatedBatchNorm).rate?.set(rates(file)[step] as number);

async function normSteps(file: GoldenCase): Promise<void> {
  const norm = normOf(file, "param.");
  const running = ["running_mean", "running_var"];
  norm.loadStateDict(
    new Map([...file.takeAll("param."), ...running.map((name) => [`bn.${name}`, file.take(`${name}.0`)] as const)]),
    { strict: false },
  );
  await runSteps(file, norm, {
    before: (step) => setRate(file, norm, step),
    state: (name, step) => (name.startsWith("bn.running") ? `${name.slice("bn.".length)}.${step}` : undefined),
  });
}

/** conv → BCN → ReLU → mean over the image → linear. */
class Net extends Module {
  constructor(
    readonly conv: Conv2d,
    readonly norm: BatchChannelNorm,
    readonly fc: Linear,
  ) {
    super();
  }

  override forward(x: Tensor): Tensor {
    return this.fc.apply(this.norm.apply(this.conv.apply(x)).relu().mean([2, 3]));
  }
}

async function trainingRun(file: GoldenCase): Promise<void> {
  const [classes, width] = file.take("param0.fc.weight").shape as [number, number];
  const inputs = file.take("param0.conv.weight").shape[1] as number;
  const conv = new Conv2d(inputs, width, 3, { padding: 1, bias: false });
  conv.parametrizations.push(standardization({ epsMode: "inside" }));
  const net = new Net(conv, normOf(file, "param0.norm."), new Linear(width, classes));
  net.loadStateDict(file.takeAll("param0."), { strict: false });
  const [learningRate, momentum, weightDecay] = ["lr", "momentum", "weight_decay"].map((key) => file.number(key));
  const optimizer = sgd(net.parameters(), {
    learningRate: learningRate as number,
    momentum: momentum as number,
    weightDecay: weightDecay as number,
  });
  const step = compile(({ x, y }) => {
    const logits = training(() => net.apply(x as Tensor));
    const loss = crossEntropy(logits, y as Tensor);
    optimizer.update(grad(loss, optimizer.parameters));
    return { logits, loss };
  });
  for (let i = 0; file.has(`x.${i}`); i++) {
    setRate(file, net.norm, i);
    const { logits, loss } = await step({ x: file.take(`x.${i}`), y: file.take(`y.${i}`) });
    file.compare(`logits.${i}`, logits as NDArray);
    file.compare(`loss.${i}`, loss as NDArray);
  }
  await step.release();
  await compareState(file, net, (name) =>
    name.includes("running") ? `${name.split(".").at(-1)}.N` : `paramN.${name}`,
  );
}
