/** The main study: every placement trained from the same seeds on the same text, and the claims of five papers about it. */
import type { Claim } from "../catalogue/claim.js";
import { angularMaps, layerHeatMap, lossCurves, skipBars } from "./figures.js";
import { placementKeys, placementTitles, standard, type TrainedRun } from "./laboratory.js";
import { study as layerNorm } from "./papers/layer-norm.js";
import { study as layerNormScaling } from "./papers/layer-norm-scaling.js";
import { study as mixLn } from "./papers/mix-ln.js";
import { study as periLn } from "./papers/peri-ln.js";
import { study as preRmsNorm } from "./papers/pre-rms-norm.js";
import { mean, standardError } from "./statistics.js";
import { countVerdicts, type PaperStudy, type StudyContext } from "./study.js";
import type { Section, StudyReport, Table } from "./study-report.js";

export interface RunDescription {
  /** The command that repeats it. */
  readonly command: string;
  /** What it runs on: processor, threads, versions. */
  readonly machine: string;
}

/** The papers about placements, in the order of the report. */
const parts: readonly PaperStudy[] = [periLn, mixLn, layerNormScaling, preRmsNorm, layerNorm];

/** Train all placements, judge the claims, and put pictures and verdicts together. */
export async function placementStudy(context: StudyContext, description: RunDescription): Promise<StudyReport> {
  const started = performance.now();
  const laboratory = await context.laboratory();
  const [seed = 0] = laboratory.scale.seeds;
  for (const placement of placementKeys) await laboratory.train(placement, standard, seed);
  // The claims ask for the further seeds they need.
  const results = [];
  for (const part of parts) results.push({ part, ...(await part.run(context)) });
  const overview = overviewSection(laboratory.runs.filter(({ recipe }) => recipe === standard));
  const claims = results.flatMap((r) => r.claims);
  return {
    id: "placement",
    title: "Where should the norm sit?",
    summary: summary(laboratory.runs, claims),
    finished: new Date().toISOString(),
    seconds: (performance.now() - started) / 1000,
    ...description,
    setup: laboratory.setup(),
    papers: results.map(({ part, claims: own }) => ({ paper: part.paper, claims: own })),
    sections: [
      overview,
      ...withoutRepetition(
        results.flatMap((r) => r.sections),
        overview,
      ),
    ],
    limits: parts.flatMap(({ limits }) => limits),
  };
}

/** The study of one paper alone, as a report. */
export async function paperReport(
  study: PaperStudy,
  context: StudyContext,
  description: RunDescription,
): Promise<StudyReport> {
  const started = performance.now();
  const { setup, claims, sections } = await study.run(context);
  return {
    id: study.paper,
    title: study.title,
    summary: study.summary(claims),
    finished: new Date().toISOString(),
    seconds: (performance.now() - started) / 1000,
    ...description,
    setup,
    papers: [{ paper: study.paper, claims }],
    sections,
    limits: study.limits,
  };
}

/** The overview shows all placements, so a paper's own copy of the same picture, and a section left empty, go. */
function withoutRepetition(sections: readonly Section[], overview: Section): Section[] {
  const shown = new Set(overview.figures?.map(({ title }) => title));
  return sections
    .map((section) => ({ ...section, figures: (section.figures ?? []).filter(({ title }) => !shown.has(title)) }))
    .filter(({ figures }) => figures.length > 0);
}

const byPlacement = (runs: readonly TrainedRun[]) =>
  placementKeys
    .map((key) => [key, runs.filter(({ placement }) => placement === key)] as const)
    .filter(([, group]) => group.length > 0);

function overviewSection(runs: readonly TrainedRun[]): Section {
  return {
    title: "Six placements, one text",
    prose: [
      "The same small decoder with its norms in six places, trained from the same seeds on the same batches. Only the placement differs.",
    ],
    figures: [
      lossCurves(runs, "Mean over seeds, drawn strong, over the single runs. Lower is better."),
      layerHeatMap(
        runs,
        "variance",
        "How large the stream is after each block, while it trains. Post-LN normalises the stream itself; Peri-LN adds a bounded amount; under Pre-LN nothing holds it.",
      ),
      layerHeatMap(
        runs,
        "gradientNorm",
        "Which blocks get a gradient. Even columns: every block learns at the same pace.",
      ),
      layerHeatMap(
        runs,
        "angular",
        "How far each block turns the stream, while it trains. Low values: the block hardly changes its input's direction.",
      ),
      layerHeatMap(
        runs,
        "skip",
        "What each block is worth while it trains. High where the model has come to need the block.",
      ),
      skipBars(runs, "What each block is worth after training. Bars near zero are blocks the model hardly uses."),
      angularMaps(
        runs,
        "How far the stream turns between two layers, after training. Low values: the blocks between change little.",
      ),
    ],
    tables: [overviewTable(runs)],
  };
}

function overviewTable(runs: readonly TrainedRun[]): Table {
  const cell = (values: readonly number[], digits: number): string => {
    const error = standardError(values);
    return `${mean(values).toFixed(digits)}${error === null ? "" : ` ± ${error.toFixed(digits)}`}`;
  };
  return {
    title: "After training",
    caption: "Mean ± standard error over seeds; one number where no claim asks for more than one seed.",
    columns: [
      "placement",
      "validation loss",
      "bits per byte",
      "variance, last block",
      "largest |activation|",
      "gradient norm, max / min block",
      "seconds a run",
    ],
    rows: byPlacement(runs).map(([key, group]) => [
      placementTitles[key],
      cell(
        group.map((run) => run.validationLoss),
        3,
      ),
      cell(
        group.map((run) => run.bitsPerByte),
        3,
      ),
      cell(
        group.map((run) => run.layers.variance.at(-1) as number),
        2,
      ),
      cell(
        group.map((run) => Math.max(...run.layers.maximum)),
        1,
      ),
      cell(
        group.map((run) => Math.max(...run.layers.gradientNorm) / Math.min(...run.layers.gradientNorm)),
        1,
      ),
      cell(
        group.map((run) => run.seconds),
        1,
      ),
    ]),
  };
}

function summary(runs: readonly TrainedRun[], claims: readonly Claim[]): string {
  const losses = byPlacement(runs.filter(({ recipe }) => recipe === standard)).map(
    ([key, group]) => [key, mean(group.map((run) => run.validationLoss))] as const,
  );
  const ranked = losses.filter(([, loss]) => Number.isFinite(loss)).sort((a, b) => a[1] - b[1]);
  const [best, worst] = [ranked[0], ranked.at(-1)];
  const order =
    best && worst
      ? `After the same training ${placementTitles[best[0]]} has the lowest validation loss (${best[1].toFixed(3)} nats per byte) and ${placementTitles[worst[0]]} the highest (${worst[1].toFixed(3)}). `
      : "";
  return `${order}Of what five papers claim about placements, at this size ${countVerdicts(claims)}`;
}
