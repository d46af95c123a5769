/** A Generalization of Transformer Networks to Graphs: the choices of its first table, on small CLUSTER graphs. */
import type { Claim } from "../../catalogue/claim.js";
import {
  type GraphRun,
  type GraphScale,
  type GraphVariantName,
  graphScale,
  graphVariants,
  trainOnClusters,
} from "../graph-clusters.js";
import { judge, paired } from "../judge.js";
import { mean } from "../statistics.js";
import { countVerdicts, type PaperStudy, twiceTheSeeds } from "../study.js";
import type { Fact, LinesFigure } from "../study-report.js";

export type GraphRuns = Readonly<Record<GraphVariantName, readonly GraphRun[]>>;

const names = Object.keys(graphVariants) as GraphVariantName[];

export const study: PaperStudy = {
  paper: "graph-transformer",
  title: "Transformers on graphs: edges or all pairs, positions, batch norm or layer norm",
  summary: countVerdicts,
  limits: [
    "The paper's ZINC, CLUSTER and PATTERN are not part of this package; graphs here have 24 to 42 nodes in 3 communities, and models 4 layers of width 32 instead of 10 of width 80.",
    "Every run has 250 steps: a variant that is still learning then is judged as it stands.",
  ],
  async run(context) {
    const { quick, steps = quick ? 60 : graphScale.steps, signal, progress } = context;
    const seeds = twiceTheSeeds(context);
    const scale = { ...graphScale, steps };
    const runs = Object.fromEntries(names.map((name) => [name, [] as GraphRun[]])) as Record<
      GraphVariantName,
      GraphRun[]
    >;
    for (const seed of seeds)
      for (const name of names) {
        const title = `${name}, seed ${seed}`;
        const started = performance.now();
        const run = await trainOnClusters(graphVariants[name], {
          seed,
          scale,
          ...(signal && { signal }),
          listen: (step, loss) => progress({ kind: "step", title, step, steps, loss }),
        });
        runs[name].push(run);
        const seconds = (performance.now() - started) / 1000;
        progress({ kind: "run", title, seconds, facts: [`accuracy ${run.accuracy.toFixed(3)}`] });
      }
    return {
      setup: setup(scale, seeds.length),
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

const setup = (
  { layers, hidden, heads, k, train, test, batch, steps, learningRate }: GraphScale,
  seeds: number,
): Fact[] => [
  { label: "Graphs", value: `stochastic block models of 3 communities: ${train} to train on, ${test} held out` },
  {
    label: "Model",
    value: `${layers} layers of width ${hidden}, ${heads} heads, ${k} Laplacian eigenvectors as positions`,
  },
  { label: "Training", value: `${steps} steps of ${batch} graphs, Adam at ${learningRate}` },
  { label: "Seeds", value: String(seeds) },
];

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
    smooth: 8,
  };
}
