/** A small residual network of which some parameters are trained: a few steps of SGD, and an output in inference. */
import { cifarResNet, type ResNet } from "../../models/index.js";
import { type AnyModule, chosenAt, type TrainedPart, trainOnly, Weighted } from "../../nn/index.js";
import { sgd } from "../../optim/index.js";
import { compile } from "../../runtime/index.js";
import {
  crossEntropy,
  fail,
  grad,
  inference,
  NDArray,
  structureChanged,
  type Tensor,
  training,
} from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import type { GoldenKind } from "./index.js";
import { entry } from "./steps.js";

export const kinds: readonly GoldenKind[] = [
  { matches: (file) => file.has("init.conv.weight", "init.fc.weight", "x", "label") && "mode" in file.metadata, run },
];

const modes: Readonly<Record<string, TrainedPart>> = {
  bn: "bn",
  bn_output: "bn+output",
  bn_output_shortcut: "bn+output+shortcut",
  output: "output",
  gamma: "gamma",
  beta: "beta",
  frozen_bn: "frozen-bn",
  all: "all",
};

async function run(file: GoldenCase): Promise<void> {
  const plan = JSON.parse(file.text("plan")) as [number, number][];
  const width = plan[0]?.[0] ?? 0;
  const blocks = plan[0]?.[1] ?? 0;
  const inputs = file.take("init.conv.weight").shape[1] as number;
  const model = cifarResNet({ depth: 6 * blocks + 2, width, classes: file.number("classes"), inputs });
  const ours = (theirs: string) => nameOf(theirs, blocks);
  model.loadStateDict(new Map([...file.takeAll("init.")].map(([name, value]) => [ours(name), value])), {
    strict: false,
  });
  const isRandom = file.text("mode") === "random";
  if (isRandom) choose(file, model, ours);
  else trainOnly(model, modes[file.text("mode")] ?? fail("file", `mode "${file.text("mode")}" is not known`));
  const theirs = new Map(
    file.names.filter((name) => name.startsWith("init.")).map((name) => [ours(name.slice(5)), name.slice(5)]),
  );
  await train(file, model, theirs, isRandom);
}

/** conv, bn, blocks.I.…, shortcut → conv1, bn1, layerS.J.…, downsample. */
function nameOf(theirs: string, blocks: number): string {
  return theirs
    .replace(/^(conv|bn)\./, "$11.")
    .replace(/^blocks\.(\d+)\./, (_, i: string) => `layer${Math.floor(Number(i) / blocks) + 1}.${Number(i) % blocks}.`)
    .replace("shortcut", "downsample");
}

function choose(file: GoldenCase, model: AnyModule, ours: (name: string) => string): void {
  for (const variable of model.namedVariables().values()) variable.trainable = false;
  const layers = model.namedModules();
  for (const [name, mask] of file.takeAll("mask.")) {
    const layer: unknown = layers.get(ours(name).replace(/\.weight$/, ""));
    if (!(layer instanceof Weighted)) continue;
    const fanIn = mask.size / (mask.shape[0] as number);
    const places = Array.from({ length: mask.shape[0] as number }, (_, o) =>
      Array.from({ length: fanIn }, (_, i) => i).filter((i) => mask.at(o * fanIn + i) !== 0),
    );
    layer.parametrizations.push(chosenAt(layer, places));
  }
  structureChanged();
}

async function train(
  file: GoldenCase,
  model: ResNet,
  theirs: ReadonlyMap<string, string>,
  isRandom: boolean,
): Promise<void> {
  const parameters = model.parameters();
  const count = parameters.reduce((sum, { size }) => sum + size, 0);
  file.expect("trained_parameters", [count], NDArray.from([file.number("trained_parameters")]));
  const optimizer = sgd(parameters, {
    learningRate: file.number("lr"),
    momentum: file.number("momentum"),
    weightDecay: file.number("weight_decay"),
  });
  const step = compile(({ x, label }) => {
    const logits = training(() => model.apply(x as Tensor));
    const loss = crossEntropy(logits, label as Tensor);
    const gradients = grad(loss, parameters);
    optimizer.update(gradients);
    return {
      logits,
      loss,
      ...Object.fromEntries(parameters.map(({ name }, i) => [`grad.${name}`, gradients[i] as Tensor])),
    };
  });
  const [x, label] = [file.take("x"), file.take("label")];
  const steps = x.shape[0] as number;
  const [losses, logits]: [number[], number[]] = [[], []];
  for (let i = 0; i < steps; i++) {
    const result = (await step({ x: entry(x, i), label: entry(label, i) })) as unknown as Record<string, NDArray>;
    losses.push(...(result.loss as NDArray).toNumbers());
    logits.push(...(result.logits as NDArray).toNumbers());
    if (i === 0) await compareGradients(file, model, result, theirs);
  }
  await step.release();
  file.compare("loss", losses);
  file.compare("logits", logits);
  const state = await model.stateDict();
  for (const [own, name] of theirs) {
    const chosen = isRandom ? state.get(own.replace(/weight$/, "parametrizations.0.values")) : undefined;
    const value = state.get(own) as NDArray;
    file.compare(`final.${name}`, chosen ? spread(value, chosen, placesOf(state, own), value) : value);
  }
  for (const [own, value] of state)
    if (own.includes("running_")) {
      const base = own.replace(/running_(mean|var)$/, "weight");
      file.compare(`final.${(theirs.get(base) as string).replace(/weight$/, own.split(".").at(-1) as string)}`, value);
    }
  const evaluate = compile(({ x }) => ({ logits: inference(() => model.apply(x as Tensor)) }));
  file.compare("eval.logits", (await evaluate({ x: file.take("eval.x") })).logits as NDArray);
  await evaluate.release();
}

async function compareGradients(
  file: GoldenCase,
  model: ResNet,
  result: Readonly<Record<string, NDArray>>,
  theirs: ReadonlyMap<string, string>,
): Promise<void> {
  const state = await model.stateDict();
  for (const [own, name] of theirs) {
    const plain = result[`grad.${own}`];
    const chosen = result[`grad.${own.replace(/weight$/, "parametrizations.0.values")}`];
    const weight = state.get(own) as NDArray;
    if (plain) file.compare(`grad1.${name}`, plain);
    else if (chosen)
      file.compare(`grad1.${name}`, spread(NDArray.zeros(weight.shape), chosen, placesOf(state, own), weight));
  }
}

const placesOf = (state: ReadonlyMap<string, NDArray>, own: string): NDArray =>
  state.get(own.replace(/weight$/, "parametrizations.0.places")) as NDArray;

/** `values` [out, k] at their places of an array of the weight's shape. */
function spread(into: NDArray, values: NDArray, places: NDArray, { shape }: NDArray): NDArray {
  const result = into.toNumbers();
  const [out, k] = places.shape as [number, number];
  const fanIn = result.length / out;
  for (let o = 0; o < out; o++)
    for (let j = 0; j < k; j++) result[o * fanIn + places.at(o * k + j)] = values.at(o * k + j);
  return NDArray.from(result, "float32", shape);
}
