/** `layerwise train config.yaml`: a run with its folder, checkpoints, metrics and live view. */
import { join, relative } from "node:path";
import type { Command } from "commander";
import { writeSafetensors } from "../data/safetensors-file.js";
import { type Ema, ema } from "../optim/index.js";
import { crossEntropy, fail, type Tensor } from "../tensor/index.js";
import { readConfig } from "../train/config.js";
import { optimizerOf, scheduleOf, warmupOf } from "../train/config-optimizer.js";
import { openDatabase } from "../train/database.js";
import { type FitOptions, fit } from "../train/fit.js";
import { matmulRate } from "../train/matmul-rate.js";
import { type PlannedConfig, planSteps } from "../train/plan-steps.js";
import { openRunData, type RunData } from "../train/run-data.js";
import { createRun, openRun, type RunFolder } from "../train/run-folder.js";
import { lockRun } from "../train/run-lock.js";
import { type EventFile, openEventFile } from "../train/tensorboard.js";
import { printable } from "./step-line.js";
import { terminalOf, terminalView } from "./terminal.js";
import { isAdapterPath, makeTrained, openBase, saveTrained, type Trained } from "./train-model.js";

interface Options {
  readonly set?: string[];
  readonly resume?: true | string;
}

const help = `
A configuration, with the keys of Hugging Face's trainer and axolotl (whose files are read, too). One with every
key explained: layerwise init.

  data:                       # or datasets, records to fine-tune base_model on
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

At the end the run's folder holds model/, a checkpoint as on the Hugging Face hub, or with adapter: lora adapter/.

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
  const { config: read, yaml, notices } = await readConfig(path, set);
  // Before anything is written: what cannot be read leaves no run behind.
  const base = await openBase(read);
  const data = await openRunData(read, base);
  const config = planSteps(read, data.rows);
  const wanted = resume ?? config.resumeFromCheckpoint;
  const database = await openDatabase(join(config.outputDir, "runs.db"));
  const latest = wanted === true ? (await database.runs())[0]?.id : wanted || undefined;
  if (wanted === true && latest === undefined)
    fail("argument", `train: ${config.outputDir} holds no run to resume; start one without --resume`);
  const run = latest === undefined ? await createRun(config.outputDir, yaml) : await openRun(config.outputDir, latest);
  const release = await lockRun(run.path);
  const view = terminalView(terminalOf(process.stdout));
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
    const trained = makeTrained(config, data, base?.model);
    trained.model.checkTraining({ warmup: warmupOf(config) });
    await database.startRun({ id: run.id, folder: run.path, config: JSON.stringify(config) });
    process.stdout.write(headline(run, trained, data, latest !== undefined, notices));
    let averaging: Ema | undefined;
    let saved: string | undefined;
    const options = await fitOptions(config, trained, data, run, latest !== undefined, abort.signal, (made) => {
      averaging = made;
    });
    board = await eventFile(config, run);
    for await (const event of fit(options)) {
      await database.record(run.id, event);
      if (event.kind !== "step" || event.step % config.loggingSteps === 0) {
        view.show(event);
        await board?.record(event);
      }
      if (event.kind !== "done") continue;
      if (averaging && !trained.adapters) await saveAverages(run, trained, averaging);
      if (event.reason === "finished") saved = await saveResult(config, run, trained, data, averaging);
      await database.endRun(run.id, event.reason);
    }
    view.close();
    if (saved !== undefined) process.stdout.write(`written: ${shown(saved)}\n`);
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

/** All weights, the averaged ones in place of those trained. */
async function saveAverages(run: RunFolder, { model }: Trained, averaging: Ema): Promise<void> {
  const weights = new Map([...(await model.stateDict()), ...(await averaging.stateDict())]);
  await writeSafetensors(join(run.path, "model-ema.safetensors"), weights);
}

/** What others load: the weights that were evaluated, so the averaged ones where there are any. */
async function saveResult(
  config: PlannedConfig,
  run: RunFolder,
  trained: Trained,
  data: RunData,
  averaging: Ema | undefined,
): Promise<string> {
  await averaging?.swap();
  try {
    return await saveTrained(run.path, trained, data, config);
  } finally {
    await averaging?.swap();
  }
}

async function fitOptions(
  config: PlannedConfig,
  { model, adapters }: Trained,
  data: RunData,
  run: RunFolder,
  resume: boolean,
  signal: AbortSignal,
  averaged: (made: Ema) => void,
): Promise<FitOptions> {
  const { gradientAccumulationSteps: accumulation, maxSteps: steps, seed, backend, threads } = config;
  const engine = { ...(backend && { backend }), ...(threads !== undefined && { threads }) };
  const tokensPerStep = data.tokensPerBatch && data.tokensPerBatch * accumulation;
  return {
    model,
    loss: ({ tokens, targets, padding, segments, positions }) => {
      const inputs = { ...(padding && { padding }), ...(segments && { segments }), ...(positions && { positions }) };
      return crossEntropy(model.apply(tokens as Tensor, inputs), targets as Tensor);
    },
    data: (start) => data.batches(start, steps * accumulation),
    ...(data.validation && { validation: data.validation }),
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
    ...(data.bytesPerToken !== undefined && { bytesPerToken: data.bytesPerToken }),
    checkpoints: run.checkpoints,
    checkpointEvery: config.saveSteps,
    keep: config.saveTotalLimit,
    ...(adapters && { keepVariable: isAdapterPath }),
    resume,
    onNonFinite: config.onNonFinite,
    ...(config.fp16 && { precision: "float16" as const }),
    signal,
    seed,
    ...(tokensPerStep && { tokensPerStep }),
    // Rows of several lengths, and gradients of few of the weights, have no one number of operations.
    ...(tokensPerStep &&
      !adapters && {
        flops: { perStep: model.flopsPerToken(data.context) * tokensPerStep, peak: await matmulRate(engine) },
      }),
    notes: { data: config.data ?? config.datasets },
    ...engine,
  };
}

const shown = (path: string): string => relative(process.cwd(), path) || path;

function headline(
  run: RunFolder,
  { model }: Trained,
  { tokens, notice }: RunData,
  resumed: boolean,
  notices: readonly string[],
): string {
  const millions = (variables: Iterable<{ readonly size: number }>): string =>
    ([...variables].reduce((sum, { size }) => sum + size, 0) / 1e6).toFixed(2);
  const [learned, all] = [millions(model.parameters()), millions(model.namedVariables().values())];
  const lines = [
    `${resumed ? "going on with" : "run"} ${run.id} in ${shown(run.path)}`,
    `${learned} M ${learned === all ? "parameters" : `of ${all} M parameters trained`}; ${tokens.train.toLocaleString("en")} tokens to train on, ${tokens.validation.toLocaleString("en")} held out`,
    ...(notice ? [notice] : []),
    ...notices.map((text) => `note: ${printable(text)}`),
  ];
  return `${lines.join("\n")}\n`;
}
