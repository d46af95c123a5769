/** IBN layers and residual blocks with instance norms, over training steps with fixed parameters. */
import { BasicBlock, Bottleneck } from "../../models/index.js";
import { batchNorm, type IBN, ibn, instanceNorm, type Module, type NormFactory } from "../../nn/index.js";
import type { NDArray } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import type { GoldenKind } from "./index.js";
import { runSteps } from "./steps.js";

export const kinds: readonly GoldenKind[] = [
  { matches: (file) => file.has("param.IN.weight", "param.BN.weight", "x.0"), run: (file) => run(file, layer(file)) },
  {
    matches: (file) => file.has("param.conv1.weight", "x.0") && "ibn" in file.metadata,
    run: (file) => run(file, block(file)),
  },
];

const numbers = (file: GoldenCase) => ({ eps: Number(file.text("eps")), momentum: file.number("momentum") });

function layer(file: GoldenCase): IBN {
  const [IN, BN] = [file.take("param.IN.weight").size, file.take("param.BN.weight").size];
  const order = file.text("order").startsWith("BN") ? "bn-first" : "in-first";
  return ibn(IN + BN, { ratio: (order === "in-first" ? IN : BN) / (IN + BN), order, ...numbers(file) });
}

function block(file: GoldenCase): Module {
  const { eps, momentum } = numbers(file);
  const norm: NormFactory = (width) => batchNorm(width, { eps, momentum });
  const variant = file.text("ibn");
  const options = {
    norm,
    stride: file.number("stride"),
    ...(variant === "a" && { norm1: (width: number) => ibn(width, { eps, momentum }) }),
    ...(variant === "b" && { afterAdd: (width: number) => instanceNorm(width, { eps, affine: true }) }),
  };
  const make = file.has("param.conv3.weight") ? Bottleneck : BasicBlock;
  return new make(file.number("inplanes"), file.number("planes"), options);
}

async function run(file: GoldenCase, module: Module): Promise<void> {
  const state = new Map<string, NDArray>([...file.takeAll("param."), ...file.takeAll("stat0.")]);
  module.loadStateDict(state);
  const middle = file.has("param.conv3.weight") ? "bn2.bias" : "bn1.bias";
  await runSteps(file, module, {
    // The instance norm after the addition takes away what the last bias of the branch adds.
    vanishes: (name) => file.metadata.ibn === "b" && /^(bn2|bn3|downsample\.1)\.bias$/.test(name) && name !== middle,
    state: (name, step) => (name.includes("running") ? `stat${step}.${name}` : undefined),
  });
}
