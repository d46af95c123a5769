/**
 * The search that found EvoNorm: ageing evolution over graphs of basic operations. A candidate stands in every anchor
 * network; one that does not learn, or whose gradients explode under gradient ascent on the weights, is thrown away before
 * it is trained in full; the accuracies in the anchors are its objectives.
 *
 *   parent:  a random member of a tournament's non-dominated set ("pareto"), or its best mean ("average")
 *   child:   one node of the parent drawn anew, again until it passes; now and then a fresh random graph instead
 *   population: the latest candidates that passed
 *
 * The paper has no code; population, tournament and share of fresh graphs are from memory of it, and ours are smaller.
 * Same seed, same run; a state from an earlier call goes on where it ended.
 * Source: "Evolving Normalization-Activation Layers", 2020.
 */
import { type Module, type NormActFamily, NormActGraph, type NormActNode, type NormFactory } from "../nn/index.js";
import { sgd } from "../optim/index.js";
import { compile, type Program } from "../runtime/index.js";
import {
  crossEntropy,
  fail,
  grad,
  inference,
  type NDArray,
  philoxUniform,
  type Tensor,
  training,
} from "../tensor/index.js";
import { stressTest } from "./stress.js";

/** A classifier around a norm with activation: [batch, channels, height, width] → [batch, classes]. */
export type Anchor = (norm: NormFactory, seed: number) => Module;

export interface LabelledBatch {
  readonly images: NDArray;
  readonly labels: NDArray;
}

export interface NormActSearchOptions {
  /** "batch" may use statistics of the batch, "sample" not. */
  readonly family: NormActFamily;
  /** By name; each gives one objective. */
  readonly anchors: Readonly<Record<string, Anchor>>;
  readonly classes: number;
  /** Training batches by number, the same for every candidate. */
  readonly train: (step: number) => LabelledBatch;
  readonly validation: readonly LabelledBatch[];
  /** Candidates to evaluate in full, those of a given state included. */
  readonly evaluations: number;
  /** Training steps of a full evaluation (default 200). */
  readonly steps?: number;
  /** SGD with momentum 0.9 (default 0.1). */
  readonly learningRate?: number;
  /** Steps before the quality test (default 100), its accuracy (default twice chance), steps of the stability test (100). */
  readonly rejection?: { readonly steps?: number; readonly accuracy?: number; readonly stressSteps?: number };
  /** "random" draws every candidate afresh: the baseline (default "evolution"). */
  readonly strategy?: "evolution" | "random";
  readonly selection?: "pareto" | "average";
  /** Latest candidates that may be parents (default 50), how many compete (default 5), share of fresh graphs (default 0.25). */
  readonly population?: number;
  readonly tournament?: number;
  readonly fresh?: number;
  /** Mutations of one parent that may fail before another is chosen (default 20). */
  readonly retries?: number;
  /** Graphs to start from, evaluated first (default none: random ones). */
  readonly start?: readonly NormActGraph[];
  /** Candidates tried in all, rejected ones included, before the search gives up (default 1000 per evaluation). */
  readonly tries?: number;
  readonly groups?: number;
  /** Intermediate nodes of a random graph (default 10). */
  readonly nodes?: number;
  readonly seed?: number;
  readonly state?: NormActSearchState;
  readonly onCandidate?: (candidate: NormActCandidate, state: NormActSearchState) => void;
  readonly signal?: AbortSignal;
}

export type NormActVerdict = "evaluated" | "not finite" | "quality" | "stability";

export interface NormActCandidate {
  readonly nodes: readonly NormActNode[];
  readonly formula: string;
  readonly verdict: NormActVerdict;
  /** Accuracy in each anchor, of a full evaluation. */
  readonly objectives: readonly number[];
}

/** Plain JSON: everything that a search needs to go on. */
export interface NormActSearchState {
  readonly seed: number;
  /** Random numbers drawn so far. */
  readonly draws: number;
  readonly tried: number;
  readonly rejected: Readonly<Record<Exclude<NormActVerdict, "evaluated">, number>>;
  readonly evaluated: readonly NormActCandidate[];
}

const nothing = (seed: number): NormActSearchState => ({
  seed,
  draws: 0,
  tried: 0,
  rejected: { "not finite": 0, quality: 0, stability: 0 },
  evaluated: [],
});

/** Searches until so many candidates are evaluated in full, or the tries are used up; gives the state to go on from. */
export async function searchNormAct(options: NormActSearchOptions): Promise<NormActSearchState> {
  const { seed = 0, evaluations, tries = 1000 * evaluations, strategy = "evolution", signal } = options;
  for (const [name, n] of Object.entries({ evaluations, tries }))
    if (!Number.isInteger(n) || n < 1) fail("argument", `searchNormAct: expected ${name} of at least 1, got ${n}`);
  if (Object.keys(options.anchors).length === 0) fail("argument", "searchNormAct: expected at least one anchor");
  if (options.state && options.state.seed !== seed)
    fail("argument", `searchNormAct: the state is of seed ${options.state.seed}, asked for ${seed}`);
  let state = options.state ?? nothing(seed);
  const random = () => {
    const [u] = philoxUniform({ seed, site: `search ${state.draws}` }, 1);
    state = { ...state, draws: state.draws + 1 };
    return u as number;
  };
  const fresh = () => NormActGraph.random(options.family, random, options.nodes);
  const isDone = () => state.evaluated.length >= evaluations || state.tried >= tries;
  const attempt = async (graph: NormActGraph): Promise<boolean> => {
    signal?.throwIfAborted();
    const candidate = await judge(graph, options, seed);
    const { verdict } = candidate;
    state = {
      ...state,
      tried: state.tried + 1,
      ...(verdict === "evaluated"
        ? { evaluated: [...state.evaluated, candidate] }
        : { rejected: { ...state.rejected, [verdict]: state.rejected[verdict] + 1 } }),
    };
    options.onCandidate?.(candidate, state);
    return verdict === "evaluated";
  };
  for (const graph of (options.start ?? []).slice(state.tried)) if (!isDone()) await attempt(graph);
  while (!isDone()) {
    const { population = 50, retries = 20, fresh: share = 0.25 } = options;
    const parents = state.evaluated.slice(-population);
    if (strategy === "random" || parents.length === 0 || random() < share) await attempt(fresh());
    else {
      const parent = NormActGraph.create(pick(parents, options, random).nodes);
      for (let i = 0; i < retries && !isDone(); i++) if (await attempt(parent.mutate(options.family, random))) break;
    }
  }
  return state;
}

function pick(
  parents: readonly NormActCandidate[],
  { tournament = 5, selection = "pareto" }: NormActSearchOptions,
  random: () => number,
): NormActCandidate {
  const draw = <T>(list: readonly T[]): T => list[Math.min(list.length - 1, Math.floor(random() * list.length))] as T;
  const members = Array.from({ length: tournament }, () => draw(parents));
  return selection === "pareto" ? draw(paretoFront(members)) : members.reduce((a, b) => (mean(b) > mean(a) ? b : a));
}

const mean = ({ objectives }: NormActCandidate): number => objectives.reduce((a, b) => a + b, 0) / objectives.length;

/** Those that no other beats: at least as good everywhere and better somewhere. */
export function paretoFront(candidates: readonly NormActCandidate[]): NormActCandidate[] {
  const beats = (a: NormActCandidate, b: NormActCandidate) =>
    a.objectives.every((value, k) => value >= (b.objectives[k] as number)) &&
    a.objectives.some((value, k) => value > (b.objectives[k] as number));
  return candidates.filter((candidate) => !candidates.some((other) => beats(other, candidate)));
}

/** The rejections and, for what passes them, the accuracies. */
async function judge(graph: NormActGraph, options: NormActSearchOptions, seed: number): Promise<NormActCandidate> {
  const objectives: number[] = [];
  const told = { nodes: graph.toJSON(), formula: graph.formula };
  for (const anchor of Object.values(options.anchors)) {
    const result = await judgeIn(anchor, graph, options, seed);
    if (typeof result === "string") return { ...told, verdict: result, objectives: [] };
    objectives.push(result);
  }
  return { ...told, verdict: "evaluated", objectives };
}

async function judgeIn(
  anchor: Anchor,
  graph: NormActGraph,
  options: NormActSearchOptions,
  seed: number,
): Promise<number | Exclude<NormActVerdict, "evaluated">> {
  const { classes, steps = 200, rejection = {}, groups = 32, signal } = options;
  const { steps: early = 100, accuracy = 2 / classes, stressSteps = 100 } = rejection;
  const build = () => anchor((width, axis = 1) => graph.toLayer(width, { groups, axis }), seed);
  const run = new ProxyRun(build(), options);
  try {
    if (!(await run.train(0, Math.min(early, steps)))) return "not finite";
    if ((await run.accuracy()) < accuracy) return "quality";
    const model = build();
    const batch = options.train(0);
    const { stable } = await stressTest({
      model,
      loss: ({ images, labels }) => crossEntropy(model.apply(images as Tensor), labels as Tensor),
      batch: { images: batch.images, labels: batch.labels },
      steps: stressSteps,
      ...(signal && { signal }),
    });
    if (!stable) return "stability";
    return (await run.train(Math.min(early, steps), steps)) ? await run.accuracy() : "not finite";
  } finally {
    await run.release();
  }
}

type Inputs = { readonly images: Tensor; readonly labels: Tensor };

/** One model on its way, stopped and gone on with. */
class ProxyRun {
  readonly #step: Program<Inputs, { loss: Tensor }>;
  readonly #test: Program<Inputs, { right: Tensor }>;

  constructor(
    model: Module,
    private readonly options: NormActSearchOptions,
  ) {
    const parameters = model.parameters();
    const optimizer = sgd(parameters, { learningRate: options.learningRate ?? 0.1, momentum: 0.9 });
    this.#step = compile(({ images, labels }: Inputs) => {
      const loss = training(() => crossEntropy(model.apply(images), labels));
      optimizer.update(grad(loss, parameters));
      return { loss };
    });
    this.#test = compile(({ images, labels }: Inputs) => ({
      right: inference(() => model.apply(images).argmax(-1).cast("int32").equal(labels).cast("float32").sum()),
    }));
  }

  /** False as soon as a loss is not finite. */
  async train(from: number, to: number): Promise<boolean> {
    for (let step = from; step < to; step++) {
      this.options.signal?.throwIfAborted();
      const { images, labels } = this.options.train(step);
      if (!Number.isFinite((await this.#step({ images, labels })).loss.item())) return false;
    }
    return true;
  }

  async accuracy(): Promise<number> {
    let [right, count] = [0, 0];
    for (const { images, labels } of this.options.validation) {
      right += (await this.#test({ images, labels })).right.item();
      count += labels.size;
    }
    return right / count;
  }

  async release(): Promise<void> {
    await Promise.all([this.#step.release(), this.#test.release()]);
  }
}
