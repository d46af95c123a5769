/** Scaled standardised convolutions, adaptive gradient clipping, and federated rounds. */
import { batchNorm, Conv2d, Lambda, Linear, Module, parametrize, ScaledWeightStandardization } from "../../nn/index.js";
import { adaptiveClip } from "../../optim/index.js";
import { crossEntropy, fail, inference, type NDArray, type Tensor, tensor, Variable } from "../../tensor/index.js";
import type { FederatedState } from "../../train/aggregate.js";
import { type FederatedAlgorithm, type FederatedOptions, federated } from "../../train/federated.js";
import type { GoldenCase } from "./case.js";
import type { GoldenKind } from "./index.js";
import { namedGradients, runOnce } from "./run-once.js";

export const kinds: readonly GoldenKind[] = [
  { matches: (file) => file.has("effective_weight", "gain", "x", "grad_out"), run: convolution },
  { matches: (file) => file.names.some((name) => name.endsWith(".clipped")), run: clipping },
  { matches: (file) => file.has("x.0", "y.0", "round0.participants"), run: rounds },
];

async function convolution(file: GoldenCase): Promise<void> {
  const [outputs, perGroup, ...kernel] = file.take("weight").shape as [number, number, ...number[]];
  const groups = file.number("groups");
  const layer = new Conv2d(perGroup * groups, outputs, kernel, {
    bias: file.has("bias"),
    stride: file.number("stride"),
    padding: file.number("padding"),
    groups,
  });
  const standardize = new ScaledWeightStandardization(layer, {
    gamma: file.number("gamma"),
    eps: file.number("eps"),
    epsMode: file.text("formula").includes("max(") ? "floor" : "inside",
  });
  layer.loadStateDict(file.takeAll("", (name) => name === "weight" || name === "bias"));
  standardize.gain.set(file.take("gain"));
  layer.parametrizations.push(standardize);
  const upstream = tensor(file.take("grad_out"));
  const results = await runOnce({ x: file.take("x") }, ({ x }) => {
    const out = layer.apply(x as Tensor);
    const gradients = namedGradients(out.mul(upstream).sum(), layer, { x: x as Tensor });
    return { out, effective_weight: standardize.apply(layer.weight), ...gradients };
  });
  for (const [name, value] of Object.entries(results)) file.compare(name.replace("parametrizations.0.", ""), value);
}

async function clipping(file: GoldenCase): Promise<void> {
  const options = { clipping: file.number("clipping"), eps: file.number("eps") };
  for (const name of file.names.filter((own) => file.has(`${own}.grad`, `${own}.clipped`))) {
    const W = new Variable(file.take(name), { name });
    const { clipped } = await runOnce({ g: file.take(`${name}.grad`) }, ({ g }) => ({
      clipped: adaptiveClip([g as Tensor], [W], options)[0] as Tensor,
    }));
    file.compare(`${name}.clipped`, clipped as NDArray);
  }
}

/** Clients with data `x.k`, `y.k`; the server's values before and after every round; what stays at the clients at the end. */
async function rounds(file: GoldenCase): Promise<void> {
  const model = network(file);
  model.loadStateDict(renamed(file.takeAll("server0."), "gain", ours));
  const count = (prefix: string) => file.names.filter((name) => new RegExp(`^${prefix}\\d+$`).test(name)).length;
  const clients = Array.from({ length: count("x\\.") }, (_, k) => ({
    name: `${k}`,
    train: { x: file.take(`x.${k}`), y: file.take(`y.${k}`).cast("int32") },
  }));
  const participants: number[][] = [];
  while (file.has(`round${participants.length}.participants`))
    participants.push(file.take(`round${participants.length}.participants`).toNumbers());
  let last: FederatedState | undefined;
  for await (const { round, state, localLoss } of federated({
    model,
    clients,
    loss: ({ x, y }) => crossEntropy(model.apply(x as Tensor), y as Tensor),
    rounds: participants.length,
    participation: (round) => participants[round] as number[],
    ...protocol(file),
  })) {
    const losses = (participants[round - 1] as number[]).map((k) => localLoss.get(`${k}`) as number);
    file.compare(`round${round - 1}.mean_local_loss`, losses);
    for (const [name, value] of renamed(state.server, ours, "gain")) file.compare(`server${round}.${name}`, value);
    last = state;
  }
  for (const [client, values] of last?.local ?? [])
    for (const [name, value] of renamed(values, ours, "gain")) file.compare(`local${client}.${name}`, value);
  model.loadStateDict(new Map([...(last?.server ?? []), ...(last?.local.get("0") ?? [])]));
  const { logits } = await runOnce({ x: file.take("x.0") }, ({ x }) => ({
    logits: inference(() => model.apply(x as Tensor)),
  }));
  file.compare("eval_logits_client0", logits as NDArray);
}

function protocol(file: GoldenCase): Omit<FederatedOptions, "model" | "loss" | "clients" | "rounds" | "participation"> {
  const [order, optimizer, clipping] = [file.text("order"), file.text("optimizer"), file.text("agc_clipping")];
  if (!order.includes("no shuffling") || !optimizer.startsWith("SGD, no momentum"))
    fail("file", `expected batches without shuffling and SGD without momentum, got "${order}" and "${optimizer}"`);
  return {
    algorithm: file.text("mode") as FederatedAlgorithm,
    weighting: file.text("weighting") as "samples" | "equal",
    batchSize: file.number("batch_size"),
    localEpochs: file.number("local_epochs"),
    learningRate: file.number("lr"),
    shuffle: false,
    dropLast: !order.includes("short batch kept"),
    ...(clipping !== "none" && {
      agc: {
        clipping: file.number("agc_clipping"),
        eps: file.number("agc_eps"),
        exclude: `${file.text("agc_excludes")}.**`,
      },
    }),
  };
}

/** The file's net, layer by layer: `conv1(3x3,stride2,pad1)-bn1-relu-mean(H,W)-fc`. */
function network(file: GoldenCase): Module {
  const model = new Layers(
    file
      .text("net")
      .split("-")
      .map((text, i) => layerOf(file, text, i)),
  );
  const [gamma, eps] = [file.text("gamma"), file.text("ws_eps")];
  if (gamma)
    parametrize(
      model,
      "conv*",
      (layer) => new ScaledWeightStandardization(layer, { gamma: Number(gamma), eps: Number(eps) }),
    );
  return model;
}

function layerOf(file: GoldenCase, text: string, i: number): [string, Module] {
  const [, name = "", details = ""] = /^([a-z]+\d*)(?:\((.*)\))?$/.exec(text) ?? [];
  const shape = (entry: string) => file.take(`server0.${name}.${entry}`).shape as [number, number, ...number[]];
  const detail = (key: string, otherwise: number) => Number(new RegExp(`${key}(\\d+)`).exec(details)?.[1] ?? otherwise);
  const bias = file.has(`server0.${name}.bias`);
  if (name === "relu") return [`relu${i}`, new Lambda((x) => x.relu())];
  if (name === "mean") return [`mean${i}`, new Lambda((x) => x.mean([2, 3]))];
  if (name.startsWith("bn")) return [name, batchNorm(shape("weight")[0])];
  if (name.startsWith("fc")) {
    const [outputs, inputs] = shape("weight");
    return [name, new Linear(inputs, outputs, { bias })];
  }
  if (!name.startsWith("conv")) return fail("file", `expected convN, bnN, relu, mean or fc in "net", got "${text}"`);
  const [outputs, inputs, ...kernel] = shape("weight");
  return [name, new Conv2d(inputs, outputs, kernel, { bias, stride: detail("stride", 1), padding: detail("pad", 0) })];
}

/** Layers one after another, under names of their own. */
class Layers extends Module {
  readonly order: readonly string[];

  constructor(layers: readonly [string, Module][]) {
    super();
    this.order = layers.map(([name]) => name);
    Object.assign(this, Object.fromEntries(layers));
  }

  override forward(x: Tensor): Tensor {
    return this.order.reduce((y, name) => (Reflect.get(this, name) as Module).apply(y), x);
  }

  chains(): readonly (readonly Module[])[] {
    return [this.order.map((name) => Reflect.get(this, name) as Module)];
  }
}

const ours = "parametrizations.0.gain";

const renamed = (values: ReadonlyMap<string, NDArray>, from: string, to: string): Map<string, NDArray> =>
  new Map(
    [...values].map(([name, value]) => [name.endsWith(`.${from}`) ? name.slice(0, -from.length) + to : name, value]),
  );
