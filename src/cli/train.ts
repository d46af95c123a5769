/** `layerwise train config.yaml`: a run with its folder, checkpoints, metrics and live view. */
import { join, relative } from "node:path";
import type { Command } from "commander";
import { writeSafetensors } from "../data/safetensors-file.js";
import { type TextData, text } from "../data/text-files.js";
import { type GPT, gpt } from "../models/index.js";
import { type MLPName, type NormOption, type PlacementName, type PositionsName, recompute } from "../nn/index.js";
import { adam, adamW, type Ema, ema, lion, muon, sgd } from "../optim/index.js";
import { crossEntropy, fail, type Tensor } from "../tensor/index.js";
import { readConfig, type TrainConfig } from "../train/config.js";
import { openDatabase } from "../train/database.js";
import { type FitOptions, fit } from "../train/fit.js";
import { matmulRate } from "../train/matmul-rate.js";
import { refuseNotWired } from "../train/not-wired.js";
import { type PlannedConfig, planSteps } from "../train/plan-steps.js";
import { createRun, lockRun, openRun, type RunFolder } from "../train/run-folder.js";
import { type Schedule, schedule } from "../train/schedule.js";
import { type EventFile, openEventFile } from "../train/tensorboard.js";
import { printable } from "./step-line.js";
import { terminalView } from "./terminal.js";

interface Options {
  readonly set?: string[];
  readonly resume?: true | string;
}

const help = `
A configuration, with the keys of Hugging Face's trainer and axolotl (whose files are read, too). One with every
key explained: layerwise init.

  data:
    path: corpus.txt          # a file, folder, glob or .gz, or a list of them
    context: 128
  model:
    layers: 6
    width: 256
    heads: 4
    placement: peri           # pre, post, peri, output, mix, lns
  max_steps: 2000
  micro_batch_size: 8
  learning_rate: 1e-3
  warmup_steps: 100

Examples:
  $ layerwise train config.yaml
  $ layerwise train config.yaml --set model.layers=4 --set learning_rate=3e-4
  $ layerwise train config.yaml --resume              go on with the latest run
  $ layerwise train config.yaml --resume <run id>     go on with that one

Ctrl-C ends after the running step and saves; --resume goes on bit for bit.`;

export function registerTrain(program: Command): void {
  program
    .command("train")
    .description("train a language model on text")
    .argument("<config>", "a YAML file")
    .option("--set <key=value...>", "change keys of the configuration")
    .option("--resume [run]", "go on with a run: the latest, or the one named")
    .addHelpText("after", help)
    .action(train);
}

async function train(path: string, { set = [], resume }: Options): Promise<void> {
  const { config: given, yaml, notices } = await readConfig(path, set);
  refuseNotWired(given);
  const read = textConfig(given);
  // Before anything is written: a corpus that cannot be read leaves no run behind.
  const { path: paths, tokens, context, validation, separator } = read.data;
  const data = await text.open(paths as string | string[], {
    tokens,
    context,
    validation,
    seed: read.seed,
    ...(separator && { separator }),
  });
  const config = textConfig(planSteps(read, data.windows()));
  const wanted = resume ?? config.resumeFromCheckpoint;
  const database = await openDatabase(join(config.outputDir, "runs.db"));
  const latest = wanted === true ? (await database.runs())[0]?.id : wanted || undefined;
  if (wanted === true && latest === undefined)
    fail("argument", `train: ${config.outputDir} holds no run to resume; start one without --resume`);
  const run = latest === undefined ? await createRun(config.outputDir, yaml) : await openRun(config.outputDir, latest);
  const release = await lockRun(run.path);
  const view = terminalView({
    stream: process.stdout,
    live: process.stdout.isTTY === true,
    columns: () => process.stdout.columns ?? 80,
  });
  const abort = new AbortController();
  // Asked twice, it ends at once, the cursor given back; the last checkpoint stands.
  const interrupt = () => {
    if (abort.signal.aborted) {
      view.close();
      process.exit(130);
    }
    abort.abort();
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, interrupt);
  let board: EventFile | undefined;
  try {
    const model = buildModel(config, data);
    if (config.gradientCheckpointing) model.model.layers.forEach(recompute);
    model.checkTraining({ warmup: warmupOf(config) });
    await database.startRun({ id: run.id, folder: run.path, config: JSON.stringify(config) });
    process.stdout.write(headline(run, model, data, latest !== undefined, notices));
    let averaging: Ema | undefined;
    const options = await fitOptions(config, model, data, run, latest !== undefined, abort.signal, (made) => {
      averaging = made;
    });
    board = await eventFile(config, run);
    for await (const event of fit(options)) {
      await database.record(run.id, event);
      if (event.kind !== "step" || event.step % config.loggingSteps === 0) {
        view.show(event);
        await board?.record(event);
      }
      if (event.kind === "done") await database.endRun(run.id, event.reason);
      if (event.kind === "done" && averaging)
        await writeSafetensors(
          join(run.path, "model-ema.safetensors"),
          new Map([...(await model.stateDict()), ...(await averaging.stateDict())]),
        );
    }
    view.close();
    if (abort.signal.aborted) process.stdout.write(`go on with: layerwise train ${path} --resume ${run.id}\n`);
  } catch (error) {
    await database.endRun(run.id, "failed");
    throw error;
  } finally {
    view.close();
    await board?.close();
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, interrupt);
    await data.close();
    await database.close();
    await release();
  }
}

/** TensorBoard's file of this run, where the configuration asks for one. */
async function eventFile({ tensorboard, loggingDir }: PlannedConfig, run: RunFolder): Promise<EventFile | undefined> {
  if (!tensorboard && loggingDir === undefined) return undefined;
  return openEventFile(loggingDir === undefined ? run.tensorboard : join(loggingDir, run.id));
}

type WithText<C> = C & { readonly data: NonNullable<TrainConfig["data"]> };

const textConfig = <C extends TrainConfig>(config: C): WithText<C> =>
  config.data
    ? { ...config, data: config.data }
    : fail("config", "train: datasets need a model with a tokenizer; give plain text as data");

function buildModel({ model, data: { context }, seed }: WithText<PlannedConfig>, data: TextData): GPT {
  const { kvHeads, norm, placement, mlp = "swiglu", hidden, positions, tieEmbeddings, ...sizes } = model;
  // Names are checked where they are used, which also suggests the nearest known one.
  return gpt({
    ...defined(sizes),
    ...defined({
      kvHeads,
      norm: norm as NormOption | undefined,
      placement: placement as PlacementName | undefined,
      positions: positions as PositionsName | undefined,
      tieEmbeddings,
    }),
    mlp: mlp as MLPName,
    ...(hidden !== undefined && { hidden }),
    vocabulary: data.vocabulary,
    context,
    seed,
  });
}

/** Without the keys that are undefined, so that defaults apply. */
const defined = <T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;

async function fitOptions(
  config: WithText<PlannedConfig>,
  model: GPT,
  data: TextData,
  run: RunFolder,
  resume: boolean,
  signal: AbortSignal,
  averaged: (made: Ema) => void,
): Promise<FitOptions> {
  const {
    microBatchSize: size,
    gradientAccumulationSteps: accumulation,
    maxSteps: steps,
    seed,
    backend,
    threads,
  } = config;
  const engine = { ...(backend && { backend }), ...(threads !== undefined && { threads }) };
  const tokensPerStep = size * accumulation * config.data.context;
  return {
    model,
    loss: (inputs) => crossEntropy(model.apply(inputs.tokens as Tensor), inputs.targets as Tensor),
    data: (start) => data.batches({ size, steps: steps * accumulation, seed, start }),
    ...(config.data.validation > 0 && {
      validation: () =>
        data.batches({
          size,
          steps: Math.min(config.evalBatches, Math.max(1, Math.floor(data.windows("validation") / size))),
          seed: 0,
          split: "validation",
        }),
    }),
    optimizer: (parameters, learningRate) => {
      const optimizer = optimizerOf(config, parameters, learningRate);
      if (config.emaDecay === 0) return optimizer;
      const averaging = ema(optimizer, { decay: config.emaDecay, warmup: true });
      averaged(averaging);
      return averaging;
    },
    learningRate: config.learningRate,
    schedule: scheduleOf(config),
    steps,
    accumulation,
    ...(config.maxGradNorm > 0 && { clip: config.maxGradNorm }),
    evaluateEvery: config.evalSteps,
    bytesPerToken: data.bytesPerToken,
    checkpoints: run.checkpoints,
    checkpointEvery: config.saveSteps,
    keep: config.saveTotalLimit,
    resume,
    onNonFinite: config.onNonFinite,
    signal,
    seed,
    tokensPerStep,
    flops: { perStep: model.flopsPerToken(config.data.context) * tokensPerStep, peak: await matmulRate(engine) },
    notes: { data: config.data },
    ...engine,
  };
}

type Make = FitOptions["optimizer"];

function optimizerOf(config: PlannedConfig, ...[parameters, learningRate]: Parameters<Make>): ReturnType<Make> {
  const { optimizer, weightDecay, adamBeta1, adamBeta2, adamEpsilon: eps } = config;
  const betas = [adamBeta1, adamBeta2] as const;
  // Gains and biases are not decayed, as is usual.
  const groups = [
    { match: "**.bias", options: { weightDecay: 0 } },
    { match: "**norm.weight", options: { weightDecay: 0 } },
  ];
  const makers: Readonly<Record<string, () => ReturnType<Make>>> = {
    adamw: () => adamW(parameters, { learningRate, betas, eps, weightDecay, groups }),
    adam: () => adam(parameters, { learningRate, betas, eps }),
    sgd: () => sgd(parameters, { learningRate, momentum: 0.9, weightDecay, groups }),
    lion: () => lion(parameters, { learningRate, weightDecay, groups }),
    // At AdamW's scale, so that one learning rate and one decay fit both halves.
    muon: () =>
      muon(parameters, {
        learningRate,
        weightDecay,
        scale: "match-rms-adamw",
        adamW: { betas, eps, weightDecay, groups },
      }),
  };
  return (
    makers[optimizer]?.() ??
    fail("config", `optimizer is "${optimizer}"; expected one of ${Object.keys(makers).join(", ")}`)
  );
}

const warmupOf = ({ warmupSteps, warmupRatio = 0, maxSteps }: PlannedConfig): number =>
  warmupSteps ?? Math.round(warmupRatio * maxSteps);

function scheduleOf(config: PlannedConfig): Schedule {
  const { lrScheduler, maxSteps: steps, decaySteps: decay, minLrRatio: minimum } = config;
  const warmup = warmupOf(config);
  if (lrScheduler === "constant") return schedule.constant({ warmup });
  if (lrScheduler === "wsd") return schedule.wsd({ steps, warmup, minimum, ...(decay !== undefined && { decay }) });
  return schedule[lrScheduler]({ steps, warmup, minimum });
}

function headline(run: RunFolder, model: GPT, data: TextData, resumed: boolean, notices: readonly string[]): string {
  const parameters = model.parameters().reduce((sum, { size }) => sum + size, 0);
  const lines = [
    `${resumed ? "going on with" : "run"} ${run.id} in ${relative(process.cwd(), run.path) || run.path}`,
    `${(parameters / 1e6).toFixed(2)} M parameters; ${data.lengths.train.toLocaleString("en")} tokens to train on, ${data.lengths.validation.toLocaleString("en")} held out`,
    ...(data.notice ? [data.notice] : []),
    ...notices.map((notice) => `note: ${printable(notice)}`),
  ];
  return `${lines.join("\n")}\n`;
}
