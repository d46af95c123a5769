/** Layer Normalization: the invariances of its table, and that a case does not depend on the rest of its batch. */
import { compile } from "../runtime/index.js";
import { concat, type NDArray, normalArray, type Tensor } from "../tensor/index.js";
import { judge } from "./judge.js";
import { countVerdicts, type PaperStudy } from "./study.js";

const [cases, inputs, neurons] = [8, 24, 16];

type Measured = "weightScale" | "weightShift" | "oneNeuron" | "caseScale" | "batch";
type Feeds = Readonly<Record<"x" | "w" | "shift" | "other", Tensor>>;

/** Largest change of LN(W x) under each transformation, relative to its largest value. */
const program = () =>
  compile(({ x, w, shift, other }: Feeds) => {
    const layer = (data: Tensor, weight: Tensor) => data.matmul(weight.transpose()).layerNorm({ eps: 1e-12 });
    const y = layer(x, w);
    const change = (z: Tensor) => z.sub(y).abs().max().div(y.abs().max());
    const firstNeuron = w.slice({ end: 1 }).mul(5);
    return {
      weightScale: change(layer(x, w.mul(3))),
      weightShift: change(layer(x, w.add(shift))),
      oneNeuron: change(layer(x, concat([firstNeuron, w.slice({ start: 1 })]))),
      caseScale: change(layer(x.mul(7), w)),
      batch: layer(x.slice({ end: 1 }), w)
        .sub(layer(concat([x.slice({ end: 1 }), other]), w).slice({ end: 1 }))
        .abs()
        .max(),
    };
  });

export const layerNorm: PaperStudy = {
  paper: "layer-norm",
  title: "Layer Normalization: what it does not react to",
  summary: countVerdicts,
  limits: [
    "The paper's gains in retrieval and generation with recurrent nets are not measured here; `compareRecurrent` trains recurrent language models with and without the norm.",
  ],
  async run({ scale }) {
    const measure = program();
    const results: Readonly<Record<Measured, NDArray>>[] = [];
    for (const seed of scale.initialSeeds) {
      const draw = (site: string, shape: readonly number[]) => normalArray({ seed, site }, shape);
      results.push(
        await measure({
          x: draw("x", [cases, inputs]),
          w: draw("w", [neurons, inputs]),
          shift: draw("shift", [1, inputs]),
          other: draw("other", [cases - 1, inputs]),
        }),
      );
    }
    await measure.release();
    const of = (name: Measured) => results.map((r) => r[name].item());
    const unchanged = (claim: string, name: Measured, limit: number) =>
      judge({
        claim,
        metric: "largest relative change of the output",
        baseline: ["allowed", [limit]],
        measured: ["LayerNorm", of(name)],
        effect: of(name).map((v) => limit - v),
        test: `${limit} against the change`,
      });
    return {
      claims: [
        unchanged("Rescaling the whole weight matrix changes nothing", "weightScale", 1e-4),
        unchanged("Adding one vector to every neuron's weights changes nothing", "weightShift", 1e-4),
        unchanged("Rescaling a single case changes nothing", "caseScale", 1e-4),
        judge({
          claim: "Rescaling one neuron's weights does change the output",
          metric: "largest relative change of the output",
          baseline: ["no change", [0]],
          measured: ["LayerNorm", of("oneNeuron")],
          effect: of("oneNeuron").map((v) => v - 0.05),
          test: "change against 0.05",
        }),
        unchanged("What a case gives does not depend on the other cases of its batch", "batch", 1e-6),
      ],
      sections: [],
    };
  },
};
