import { Conv2d, EvoNorm, type EvoNormKind, Linear, Module, NormActGraph, type NormActLayer } from "../../nn/index.js";
import { crossEntropy, fail, grad, type Tensor, training, type Variable } from "../../tensor/index.js";
import { stressTest } from "../../train/stress.js";
import type { GoldenCase } from "./case.js";
import type { GoldenKind } from "./index.js";
import { namedGradients, runOnce } from "./run-once.js";
import { runEval, runStacked } from "./stacked.js";

const layer: GoldenKind = {
  matches: (file) => file.has("x", "w", "y", "weight", "bias") && /^[BS][012]$/.test(file.metadata.kind ?? ""),
  async run(file) {
    const [, channels] = JSON.parse(file.text("shape")) as number[];
    const norm = new EvoNorm(channels ?? fail("file", "expected a shape [N, C, …] in the metadata"), {
      kind: file.text("kind") as EvoNormKind,
      groups: file.number("groups"),
      nonlinearity: file.flag("nonlinearity"),
      eps: file.number("eps"),
      momentum: file.number("momentum"),
      runningVar: file.text("running_var") === "unbiased" ? "unbiased" : "biased",
    });
    for (const name of ["weight", "bias", "v"] as const) if (file.has(name)) norm[name]?.set(file.take(name));
    await runStacked(file, norm);
    await runEval(file, norm);
  },
};

const parameters = { v0: "v0", v1: "v1", weight: "gamma", bias: "beta" } as const;

/** Layers written as graphs: `graph.<name>` in the metadata, `<name>.y` and gradients in the file. */
const graphs: GoldenKind = {
  matches: (file) => file.has("x", "w", "v0", "gamma") && graphsOf(file).length > 0,
  async run(file) {
    const [x, w] = [file.take("x"), file.take("w")];
    for (const [name, nodes] of graphsOf(file)) {
      const graph = NormActGraph.fromJSON(JSON.parse(nodes));
      const layer = graph.toLayer(x.shape[1] as number, { groups: file.number("groups") });
      for (const [own, theirs] of Object.entries(parameters))
        layer[own as keyof typeof parameters].set(file.take(theirs));
      const results = await runOnce({ x, w }, (inputs) => {
        const { x, w } = inputs as { x: Tensor; w: Tensor };
        const y = training(() => layer.apply(x));
        return { y, ...namedGradients(y.mul(w).sum(), layer, { x }) };
      });
      for (const [key, value] of Object.entries(results)) {
        const own = key.replace("grad.", "");
        const theirs = key === "y" ? "y" : `grad_${parameters[own as keyof typeof parameters] ?? own}`;
        file.compare(`${name}.${theirs}`, value);
      }
    }
  },
};

const graphsOf = (file: GoldenCase): [string, string][] =>
  Object.entries(file.metadata).flatMap(([key, value]) =>
    key.startsWith("graph.") ? [[key.slice("graph.".length), value] as [string, string]] : [],
  );

/** conv1 – a – conv2 – b – mean – fc, with one graph at both places. */
class TwoConvolutions extends Module {
  readonly conv1: Conv2d;
  readonly a: NormActLayer;
  readonly conv2: Conv2d;
  readonly b: NormActLayer;
  readonly fc: Linear;

  constructor(graph: NormActGraph, inputs: number, width: number, classes: number, groups: number) {
    super();
    this.conv1 = new Conv2d(inputs, width, 3, { padding: 1, bias: false });
    this.conv2 = new Conv2d(width, width, 3, { padding: 1, bias: false });
    [this.a, this.b] = [graph.toLayer(width, { groups }), graph.toLayer(width, { groups })];
    this.fc = new Linear(width, classes, { bias: false });
  }

  override forward(x: Tensor): Tensor {
    const features = this.b.apply(this.conv2.apply(this.a.apply(this.conv1.apply(x))));
    return this.fc.apply(features.mean([2, 3]));
  }

  /** The file's names of the variables. */
  get named(): ReadonlyMap<string, Variable> {
    const of = (layer: NormActLayer, at: string): [string, Variable][] => [
      [`v0${at}`, layer.v0],
      [`v1${at}`, layer.v1],
      [`g${at}`, layer.weight],
      [`b${at}`, layer.bias],
    ];
    const weights = (["conv1", "conv2", "fc"] as const).map((name): [string, Variable] => [name, this[name].weight]);
    return new Map([...weights, ...of(this.a, "a"), ...of(this.b, "b")]);
  }
}

/** Gradient ascent on the gradient's norm. */
const stress: GoldenKind = {
  matches: (file) => file.has("x", "label", "theta.conv1", "grad_norm"),
  async run(file) {
    const graph = NormActGraph.fromJSON(JSON.parse(file.text("graph")));
    const fc = file.take("theta.fc");
    const x = file.take("x");
    const [classes, width] = fc.shape as [number, number];
    const model = new TwoConvolutions(graph, x.shape[1] as number, width, classes, file.number("groups"));
    for (const [name, variable] of model.named) variable.set(file.take(`theta.${name}`));
    const label = file.take("label").cast("int32");
    const lossOf = (inputs: Readonly<Record<string, Tensor>>) =>
      crossEntropy(model.apply(inputs.x as Tensor), inputs.label as Tensor);
    const results = await runOnce({ x, label }, (inputs) => {
      const all = [...model.named.values()];
      const gradients = grad(
        training(() => lossOf(inputs)),
        all,
      );
      const norm = gradients
        .map((g) => g.square().sum())
        .reduce((a, b) => a.add(b))
        .sqrt();
      const directions = grad(norm, all);
      return Object.fromEntries(
        [...model.named.keys()].flatMap((name, i) => [
          [`grad.${name}`, gradients[i] as Tensor],
          [`direction.${name}`, directions[i] as Tensor],
        ]),
      );
    });
    for (const [name, value] of Object.entries(results)) file.compare(name, value);
    const steps = file.number("steps");
    const ascent = { model, loss: lossOf, batch: { x, label }, learningRate: file.number("lr"), steps };
    const { gradientNorms, losses } = await stressTest(ascent);
    file.compare("grad_norm", gradientNorms);
    file.compare("loss", losses);
  },
};

export const kinds = [layer, graphs, stress];
