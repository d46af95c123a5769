/** α-BN layers, losses on class correlations, and both in an online adaptation. */
import {
  AlphaBatchNorm,
  type CoreOptions,
  classCorrelation,
  coreLoss,
  entropyLoss,
  testTimeAdapt,
} from "../../adapt/index.js";
import { BatchNorm, batchNorm, Conv2d, Linear, Module } from "../../nn/index.js";
import { sgd } from "../../optim/index.js";
import { grad, type NDArray, type Tensor, tensor } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import type { GoldenKind } from "./index.js";
import { runOnce } from "./run-once.js";

export const kinds: readonly GoldenKind[] = [
  { matches: (file) => file.has("x", "source_mean", "source_var", "gamma", "grad_out"), run: layerCases },
  { matches: (file) => file.has("logits", "core.loss"), run: lossCases },
  { matches: (file) => file.has("param.bn1.running_mean", "x.0", "logits.0", "loss.0"), run: online },
];

async function layerCases(file: GoldenCase): Promise<void> {
  const source = new BatchNorm(file.take("gamma").size, { eps: Number(file.text("eps")) });
  source.loadStateDict(
    new Map([
      ["weight", file.take("gamma")],
      ["bias", file.take("beta")],
      ["running_mean", file.take("source_mean")],
      ["running_var", file.take("source_var")],
    ]),
  );
  const upstream = tensor(file.take("grad_out"));
  const cases = new Set(
    file.names.map((name) => /^a[\d.]+\.(un)?biased/.exec(name)?.[0]).filter((name) => name !== undefined),
  );
  for (const name of cases) {
    const [, a, targetVariance] = /^a([\d.]+)\.(\w+)$/.exec(name) as unknown as [string, string, "biased" | "unbiased"];
    for (const statisticsGradient of ["through", "stop"] as const) {
      const layer = new AlphaBatchNorm(source, Number(a), { targetVariance, statisticsGradient });
      const results = await runOnce({ x: file.take("x") }, ({ x }) => {
        const out = layer.apply(x as Tensor);
        const of = { x: x as Tensor, gamma: source.weight as Tensor, beta: source.bias as Tensor };
        const gradients = grad(out.mul(upstream).sum(), Object.values(of));
        return { out, ...Object.fromEntries(Object.keys(of).map((key, i) => [`grad.${key}`, gradients[i] as Tensor])) };
      });
      file.compare(`${name}.out`, results.out as NDArray);
      for (const [key, value] of Object.entries(results)) file.compare(`${name}.${statisticsGradient}.${key}`, value);
    }
  }
}

async function lossCases(file: GoldenCase): Promise<void> {
  const temperature = file.number("temperature");
  const variants: Record<string, CoreOptions> = {
    core: { temperature },
    core_T1: {},
    core_unnormalised: { rowNormalise: false },
    mcc: { temperature, certainty: true },
  };
  for (const [name, options] of Object.entries(variants)) {
    const results = await runOnce({ logits: file.take("logits") }, ({ logits }) => {
      const loss = coreLoss(logits as Tensor, options);
      const gradient = grad(loss, [logits as Tensor])[0] as Tensor;
      return { correlation: classCorrelation(logits as Tensor, options), loss, "grad.logits": gradient };
    });
    for (const [key, value] of Object.entries(results)) file.compare(`${name}.${key}`, value);
  }
  const results = await runOnce({ logits: file.take("logits") }, ({ logits }) => {
    const loss = entropyLoss(logits as Tensor);
    return { loss, "grad.logits": grad(loss, [logits as Tensor])[0] as Tensor };
  });
  for (const [key, value] of Object.entries(results)) file.compare(`entropy.${key}`, value);
}

/** conv – bn – relu – conv (stride 2) – bn – relu – mean – linear. */
class Net extends Module {
  readonly conv1: Conv2d;
  readonly bn1: BatchNorm;
  readonly conv2: Conv2d;
  readonly bn2: BatchNorm;
  readonly fc: Linear;

  constructor(inputs: number, width: number, classes: number) {
    super();
    this.conv1 = new Conv2d(inputs, width, 3, { padding: 1 });
    this.bn1 = batchNorm(width);
    this.conv2 = new Conv2d(width, width, 3, { padding: 1, stride: 2 });
    this.bn2 = batchNorm(width);
    this.fc = new Linear(width, classes);
  }

  override forward(x: Tensor): Tensor {
    const first = this.bn1.apply(this.conv1.apply(x)).relu();
    return this.fc.apply(this.bn2.apply(this.conv2.apply(first)).relu().mean([2, 3]));
  }
}

async function online(file: GoldenCase): Promise<void> {
  const [width, inputs] = file.take("param.conv1.weight").shape as [number, number];
  const net = new Net(inputs, width, file.take("param.fc.weight").shape[0] as number);
  net.loadStateDict(file.takeAll("param."));
  const adapted = await testTimeAdapt(net, {
    loss: file.text("loss") as "core" | "tent",
    sourceWeight: file.number("alpha_source"),
    targetVariance: file.text("target_variance") as "biased",
    statisticsGradient: file.text("statistics_gradient") as "through",
    optimizer: (parameters) => sgd(parameters, { learningRate: file.number("lr"), momentum: file.number("momentum") }),
  });
  for (let i = 0; file.has(`x.${i}`); i++) {
    const { logits, loss } = await adapted.predict(file.take(`x.${i}`));
    file.compare(`logits.${i}`, logits);
    file.compare(`loss.${i}`, [loss]);
    for (const [name, value] of await adapted.model.stateDict()) file.compare(`${name}.${i + 1}`, value);
  }
  await adapted.release();
}
