/** EvoNorm: the layers beside what they replace, what the rejections throw away, and a small search. */
import type { Claim } from "../../catalogue/claim.js";
import {
  batchNorm,
  Conv2d,
  EvoNorm,
  evoNorm,
  groupNorm,
  kaiming,
  Lambda,
  Linear,
  type Module,
  NormActGraph,
  type NormFactory,
  namedNormActGraphs,
  Sequential,
} from "../../nn/index.js";
import { sgd } from "../../optim/index.js";
import { compile } from "../../runtime/index.js";
import { normalArray, type Tensor, training } from "../../tensor/index.js";
import {
  type NormActCandidate,
  type NormActSearchOptions,
  type NormActSearchState,
  paretoFront,
  searchNormAct,
} from "../../train/evonorm-search.js";
import {
  accuracyClaim,
  accuracyTable,
  type ClassifierRun,
  compareClassifiers,
  type ImageTask,
  shapeTask,
} from "../image-lab.js";
import { exact, judge, paired } from "../judge.js";
import { countVerdicts, type PaperStudy, type StudyContext, twiceTheSeeds } from "../study.js";
import type { Section, Table } from "../study-report.js";
import { lossCurves } from "../train-run.js";

export const study: PaperStudy = {
  paper: "evonorm",
  title: "EvoNorm: norm and activation as one layer, and how to find one",
  summary: countVerdicts,
  limits: [
    "The paper's ranking on ImageNet needs ImageNet. Here are three convolutions on drawn shapes of 14 × 14 pixels.",
    "The paper's search evaluates thousands of candidates in three networks; this one some tens in one or two.",
  ],
  async run(context) {
    const layers = await compareLayers(context);
    const verdicts = await judgeKnown(context);
    const searches = await search(context);
    return {
      setup: [
        {
          label: "Pictures",
          value: `six drawn shapes, ${size} × ${size} pixels: ${pictures.train} to learn from, ${pictures.test} held out`,
        },
        {
          label: "Model",
          value: "three convolutions of 12, 24, 24 channels with the layer after each, mean, one matrix",
        },
        { label: "Training", value: `${layerSteps(context)} steps of ${pictures.batch}, SGD at 0.1 with momentum 0.9` },
        {
          label: "Search",
          value: `${searchTries(context)} candidates tried for each strategy and seed, graphs of ${searchNodes} nodes; rejected after ${proxySteps(context)} steps below twice chance, or when the gradient passes 1e8 under ascent`,
        },
        { label: "Seeds", value: String(context.seeds.length) },
      ],
      claims: [
        ...layerClaims(layers),
        ...(await batchClaims(context)),
        ...rejectionClaims(verdicts, searches),
        ...searchClaims(searches),
      ],
      sections: [layerSection(layers), searchSection(searches)],
    };
  },
};

const size = 14;
const pictures = { train: 1600, test: 400, batch: 32 } as const;
const task = (seed: number): ImageTask => shapeTask({ ...pictures, size, seed });

/** Three convolutions with a layer that has its activation after each. */
function network(layer: NormFactory, seed: number): Module {
  const conv = (inputs: number, outputs: number, stride: number) =>
    new Conv2d(inputs, outputs, 3, { stride, padding: 1, bias: false });
  const model = new Sequential(
    conv(3, 12, 1),
    layer(12, 1),
    conv(12, 24, 2),
    layer(24, 1),
    conv(24, 24, 2),
    layer(24, 1),
    new Lambda((x) => x.mean([2, 3])),
    new Linear(24, 6, { bias: false }),
  );
  kaiming(model, { mode: "fanIn", seed });
  return model;
}

const groups = 4;
const relu = () => new Lambda((x) => x.relu());
const layers = {
  "BN-ReLU": (width) => new Sequential(batchNorm(width), relu()),
  "GN-ReLU": (width) => new Sequential(groupNorm(groups, width), relu()),
  B0: (width) => evoNorm(width, { kind: "B0" }),
  S0: (width) => evoNorm(width, { kind: "S0", groups }),
  "ReLU alone": relu,
} satisfies Record<string, NormFactory>;
type LayerName = keyof typeof layers;
type LayerRuns = Readonly<Record<LayerName, readonly ClassifierRun[]>>;

const layerSteps = ({ quick, steps = quick ? 40 : 100 }: StudyContext): number => steps;

const compareLayers = (context: StudyContext): Promise<LayerRuns> => {
  const names = Object.keys(layers) as LayerName[];
  const models = Object.fromEntries(names.map((name) => [name, (seed: number) => network(layers[name], seed)]));
  return compareClassifiers(context, models as Record<LayerName, (seed: number) => Module>, {
    seeds: twiceTheSeeds(context),
    task,
    steps: layerSteps(context),
    optimizer: (parameters, learningRate) => sgd(parameters, { learningRate, momentum: 0.9 }),
    learningRate: 0.1,
  });
};

const layerClaims = (runs: LayerRuns): Claim[] => [
  accuracyClaim(runs, { claim: "S0 beats GroupNorm and ReLU with as many groups", high: "S0", low: "GN-ReLU" }),
  accuracyClaim(runs, {
    claim: "B0 beats ReLU without a norm by at least 0.05",
    high: "B0",
    low: "ReLU alone",
    margin: 0.05,
  }),
  accuracyClaim(runs, {
    claim: "B0 is not behind BatchNorm and ReLU (within 0.03)",
    high: "B0",
    low: "BN-ReLU",
    margin: -0.03,
  }),
];

/** The largest change of a sample's output in training when it comes alone, in a pair or among sixteen. */
async function batchClaims({ quick }: StudyContext): Promise<Claim[]> {
  const changes = async (layer: EvoNorm, seed: number): Promise<number> => {
    const program = compile(({ x }: { x: Tensor }) => {
      const first = (n: number) => training(() => layer.apply(x.slice({ end: n }))).slice({ end: 1 });
      const difference = (n: number) => first(n).sub(first(16)).abs().max();
      return { change: difference(1).maximum(difference(2)) };
    });
    const { change } = await program({ x: normalArray({ seed, site: "batch" }, [16, 8, 5, 5]) });
    await program.release();
    return change.item();
  };
  const seeds = Array.from({ length: quick ? 3 : 5 }, (_, seed) => seed);
  const values = async (kind: "S0" | "B0") => {
    const list: number[] = [];
    for (const seed of seeds) list.push(await changes(new EvoNorm(8, { kind, groups }), seed));
    return list;
  };
  const [single, batched] = [await values("S0"), await values("B0")];
  const metric = "largest change of a sample's output between batches of 1, 2 and 16, in training";
  return [
    exact({
      claim: "S0 gives a sample the same output in any batch",
      metric,
      label: "S0",
      values: single,
      limit: 1e-6,
    }),
    judge({
      claim: "… and B0 does not",
      metric,
      baseline: ["noticeable", [1e-2]],
      measured: ["B0", batched],
      effect: batched.map((value) => Math.log(value / 1e-2)),
      test: "log of the change against log 0.01",
    }),
  ];
}

const proxySteps = ({ quick }: StudyContext): number => (quick ? 30 : 100);
const searchTries = ({ quick }: StudyContext): number => (quick ? 40 : 100);
const searchNodes = 6;

function searchOptions(context: StudyContext, seed: number): Omit<NormActSearchOptions, "evaluations"> {
  const data = task(seed);
  return {
    family: "batch",
    anchors: { "three convolutions": network },
    classes: 6,
    train: data.train,
    validation: data.test,
    steps: 2 * proxySteps(context),
    rejection: { steps: proxySteps(context), stressSteps: 30 },
    groups,
    nodes: searchNodes,
    seed,
    ...(context.signal && { signal: context.signal }),
  };
}

const bad = {
  "exp of exp": NormActGraph.create([
    ["exp", [0]],
    ["exp", [4]],
  ]),
  "x cubed": NormActGraph.create([
    ["square", [0]],
    ["mul", [4, 0]],
  ]),
};

interface Known {
  readonly seed: number;
  readonly wrong: number;
}

/** Hand-made layers should pass both tests, known bad ones should not. */
async function judgeKnown(context: StudyContext): Promise<Known[]> {
  const results: Known[] = [];
  for (const seed of context.quick ? context.seeds : [0, 1]) {
    const good = Object.values(namedNormActGraphs);
    const start = [...good, ...Object.values(bad)];
    const seen: NormActCandidate[] = [];
    await searchNormAct({
      ...searchOptions(context, seed),
      start,
      evaluations: start.length,
      tries: start.length,
      onCandidate: (candidate) => {
        seen.push(candidate);
        context.progress({ kind: "step", title: `known layers, seed ${seed}`, step: seen.length, steps: start.length });
      },
    });
    const wrong = seen.filter(({ verdict }, i) => (verdict === "evaluated") !== i < good.length).length;
    results.push({ seed, wrong });
  }
  return results;
}

interface Searches {
  readonly evolution: readonly NormActSearchState[];
  readonly random: readonly NormActSearchState[];
}

/** Both strategies with as many tries, from batch norm and ReLU on. */
async function search(context: StudyContext): Promise<Searches> {
  const tries = searchTries(context);
  const states = { evolution: [] as NormActSearchState[], random: [] as NormActSearchState[] };
  for (const seed of context.seeds)
    for (const strategy of ["evolution", "random"] as const) {
      const title = `${strategy}, seed ${seed}`;
      const started = performance.now();
      const state = await searchNormAct({
        ...searchOptions(context, seed),
        strategy,
        start: [namedNormActGraphs["bn-relu"]],
        fresh: 0.1,
        evaluations: tries,
        tries,
        onCandidate: (_, { tried }) => context.progress({ kind: "step", title, step: tried, steps: tries }),
      });
      states[strategy].push(state);
      const facts = [`${state.evaluated.length} of ${state.tried} passed`, `best ${best(state).toFixed(3)}`];
      context.progress({ kind: "run", title, seconds: (performance.now() - started) / 1000, facts });
    }
  return states;
}

/** Of candidates that the search made itself. */
const made = ({ evaluated }: NormActSearchState): readonly NormActCandidate[] => evaluated.slice(1);
const best = (state: NormActSearchState): number =>
  Math.max(0, ...made(state).map(({ objectives }) => objectives[0] as number));
const passing = (state: NormActSearchState): number => made(state).length / (state.tried - 1);

function rejectionClaims(known: readonly Known[], { random }: Searches): Claim[] {
  return [
    exact({
      claim: "Hand-made layers pass both tests; exp of exp and x³ do not",
      metric: "known layers judged wrongly",
      label: "of six",
      values: known.map(({ wrong }) => wrong),
      limit: 0.5,
    }),
    judge({
      claim: "At most a quarter of random graphs pass",
      metric: "share of random graphs that pass both tests",
      baseline: ["a quarter", [0.25]],
      measured: ["random graphs", random.map(passing)],
      effect: random.map((state) => 0.25 - passing(state)),
      test: "0.25 against the share",
    }),
  ];
}

function searchClaims({ evolution, random }: Searches): Claim[] {
  const compare = (claim: string, metric: string, of: (state: NormActSearchState) => number) =>
    judge({
      claim,
      metric,
      baseline: ["random search", random.map(of)],
      measured: ["evolution", evolution.map(of)],
      effect: paired(evolution.map(of), random.map(of), (a, b) => a - b),
      test: "difference",
    });
  return [
    compare(
      "Mutants of layers that passed pass more often than random graphs",
      "share of candidates that pass",
      passing,
    ),
    compare(
      "Evolution finds better layers than random search with as many tries",
      "best accuracy of a found layer",
      best,
    ),
  ];
}

const layerSection = (runs: LayerRuns): Section => ({
  title: "The layers",
  prose: ["The same three convolutions with each layer after them."],
  figures: [lossCurves(runs, { title: "Training loss", caption: "A lower curve is better.", unit: "nats" })],
  tables: [accuracyTable(runs)],
});

function searchSection(searches: Searches): Section {
  const found = [...searches.evolution, ...searches.random].flatMap(made);
  const ranked = [...found].sort((a, b) => (b.objectives[0] as number) - (a.objectives[0] as number)).slice(0, 8);
  const front = new Set(paretoFront(found));
  const formulas: Table = {
    title: "Layers found",
    caption: "The best of both strategies; x is the input, v₀ and v₁ are learned, starting at 0 and 1.",
    columns: ["formula", "accuracy", "on the front"],
    rows: ranked.map((candidate) => [
      candidate.formula,
      candidate.objectives[0] as number,
      front.has(candidate) ? "yes" : "",
    ]),
  };
  const counts: Table = {
    title: "What became of the candidates",
    columns: ["search", "seed", "tried", "not finite", "did not learn", "unstable", "evaluated", "best"],
    rows: (["evolution", "random"] as const).flatMap((strategy) =>
      searches[strategy].map((state) => [
        strategy,
        String(state.seed),
        state.tried,
        state.rejected["not finite"],
        state.rejected.quality,
        state.rejected.stability,
        state.evaluated.length,
        best(state),
      ]),
    ),
  };
  return {
    title: "The search",
    prose: [
      "Candidates are graphs of basic operations. One that does not learn in a few steps, or whose gradient explodes when the weights climb it, is thrown away before it costs a full training.",
    ],
    tables: ranked.length > 0 ? [counts, formulas] : [counts],
  };
}
