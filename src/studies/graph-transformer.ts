/** A Generalization of Transformer Networks to Graphs: the choices of its first table, on small CLUSTER graphs. */
import type { Claim } from "../catalogue/claim.js";
import { type GraphRun, type GraphVariantName, graphScale, graphVariants, trainOnClusters } from "./graph-clusters.js";
import { judge, paired } from "./judge.js";
import { mean } from "./statistics.js";
import { countVerdicts, type PaperStudy } from "./study.js";
import type { LinesFigure } from "./study-report.js";

export type GraphRuns = Readonly<Record<GraphVariantName, readonly GraphRun[]>>;

const names = Object.keys(graphVariants) as GraphVariantName[];

export const graphTransformer: PaperStudy = {
  paper: "graph-transformer",
  title: "Transformers on graphs: edges or all pairs, positions, batch norm or layer norm",
  summary: countVerdicts,
  limits: [
    "The paper's ZINC, CLUSTER and PATTERN are not part of this package; graphs here have 24 to 42 nodes in 3 communities, and models 4 layers of width 32 instead of 10 of width 80.",
    "Every run has 250 steps: a variant that is still learning then is judged as it stands.",
  ],
  async run({ scale }) {
    // One seed where a study is only to be seen working; else twice the seeds of the text models, which take longer.
    const seeds = scale.seeds.length > 1 ? scale.initialSeeds.slice(0, 2 * scale.seeds.length) : scale.seeds;
    const runs = Object.fromEntries(names.map((name) => [name, [] as GraphRun[]])) as Record<
      GraphVariantName,
      GraphRun[]
    >;
    for (const seed of seeds)
      for (const name of names) runs[name].push(await trainOnClusters(graphVariants[name], { seed }));
    return {
      claims: graphTransformerClaims(runs),
      sections: [
        {
          title: "Learning the communities of a graph",
          prose: [
            "Each graph has three communities and shows the community of one node in each; all other nodes are to be told theirs. Attention along edges spreads what is shown. Attention to all nodes sees no edges, and can know them from Laplacian positions alone.",
          ],
          figures: [lossCurves(runs)],
        },
      ],
    };
  },
};

/** The paper's statements, judged on runs paired by seed. */
export function graphTransformerClaims(runs: GraphRuns): Claim[] {
  const accuracy = (name: GraphVariantName) => runs[name].map((run) => run.accuracy);
  const better = (claim: string, high: GraphVariantName, low: GraphVariantName) =>
    judge({
      claim,
      metric: "share of the test graphs' nodes told right",
      baseline: [low, accuracy(low)],
      measured: [high, accuracy(high)],
      effect: paired(accuracy(high), accuracy(low), (a, b) => a - b),
      test: "difference",
    });
  const early = (name: GraphVariantName) => runs[name].map(({ losses }) => mean(losses.slice(40, 50)));
  const [base, layer] = ["sparse, batch norm, positions", "sparse, layer norm, positions"] as const;
  return [
    better("Attention along edges beats attention to all nodes", base, "full, batch norm, positions"),
    better("Batch norm beats layer norm", base, layer),
    better("Laplacian positions help attention along edges", base, "sparse, batch norm, no positions"),
    better(
      "Attention to all nodes needs Laplacian positions",
      "full, batch norm, positions",
      "full, batch norm, no positions",
    ),
    judge({
      claim: "Batch norm learns faster than layer norm",
      metric: "training loss over steps 41 to 50 (nats per node)",
      baseline: [layer, early(layer)],
      measured: [base, early(base)],
      effect: paired(early(layer), early(base), (a, b) => a - b),
      test: "difference",
    }),
  ];
}

function lossCurves(runs: GraphRuns): LinesFigure {
  return {
    kind: "lines",
    title: "Training loss",
    caption: "Attention to all nodes starts late, and without positions not at all: ln 3 = 1.10 is chance.",
    x: { label: "step" },
    y: { label: "loss", unit: "nats per node", min: 0 },
    series: names.map((name) => ({
      key: name,
      name,
      runs: runs[name].map(({ losses }) => ({ x: losses.map((_, i) => i + 1), y: losses })),
    })),
    smooth: Math.max(1, Math.round(graphScale.steps / 30)),
  };
}
