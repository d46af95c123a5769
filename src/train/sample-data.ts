/**
 * From a configuration's `datasets` to what `fit` reads: batches by number, and a validation set.
 */
import { packRows } from "../data/packing.js";
import { keyedPermutation } from "../data/permutation.js";
import { locatedRecords } from "../data/records.js";
import type { RecordKind, RenderOptions } from "../data/render.js";
import { type SampleBatch, type SampleBatchOptions, sampleBatches } from "../data/sample-batches.js";
import { type TokenizedSamples, tokenizeRecords } from "../data/samples.js";
import type { ChatTemplate, TextTokenizer } from "../data/text-tokenizer.js";
import { fail } from "../tensor/errors.js";
import type { TrainConfig } from "./config.js";

export interface SampleDataOptions {
  readonly tokenizer: TextTokenizer;
  /** Needed where the datasets hold chats. */
  readonly template?: ChatTemplate;
}

export interface SampleData {
  /** Batches from number `start` on; the same number always gives the same batch. */
  readonly data: (start: number) => AsyncIterable<SampleBatch>;
  /** Where samples are held out: the same batches each time, at most eval_batches of them. */
  readonly validation?: () => AsyncIterable<SampleBatch>;
  /** Rows in the first pass; where samples are packed, the others may differ by a few. */
  readonly rows: number;
  /** Samples and tokens on each side. */
  readonly counts: Readonly<Record<"train" | "validation", { readonly samples: number; readonly tokens: number }>>;
  /** Places in a row. */
  readonly context: number;
  /** What a reader should know: how many samples were cut or left out. */
  readonly notice: string | undefined;
}

type Dataset = NonNullable<TrainConfig["datasets"]>[number];

const kinds: Readonly<Record<NonNullable<Dataset["type"]>, RecordKind>> = {
  completion: "text",
  alpaca: "alpaca",
  chat_template: "chat",
};

/**
 * Reads and tokenises the datasets of a configuration, holds `val_set_size` of their samples out, and gives batches of
 * `micro_batch_size` rows. The next batch is made only when asked for; what is slow, the encoding, is done here, once.
 *
 * @throws LayerwiseError "file" for records that cannot be read or rendered (file and line are named), "config" where the
 * configuration has no datasets or the held-out share leaves nothing on a side.
 */
export async function openSampleData(config: TrainConfig, options: SampleDataOptions): Promise<SampleData> {
  const {
    datasets,
    sequenceLen: context,
    samplePacking: packing,
    padToSequenceLen,
    seed,
    microBatchSize: size,
  } = config;
  if (!datasets) return fail("config", "datasets is missing; expected a list of { path, type }");
  const tokenized = await tokenizeDatasets(datasets, { ...options, context, trainOnInputs: config.trainOnInputs });
  const { samples } = tokenized;
  const { train, validation } = holdOut(samples.count, config.valSetSize, seed);
  const rows: SampleBatchOptions = { size, context, packing, ...(padToSequenceLen && { padToMultipleOf: context }) };
  const count = (only: readonly number[]) => ({
    samples: only.length,
    tokens: only.reduce((sum, sample) => sum + samples.length(sample), 0),
  });
  // Without a number of updates, as many as are asked for.
  const steps =
    config.maxSteps === undefined ? Number.MAX_SAFE_INTEGER : config.maxSteps * config.gradientAccumulationSteps;
  return {
    data: (start) => sampleBatches(samples, { ...rows, only: train, seed, start, steps }),
    ...(validation.length > 0 && {
      validation: () => firstOf(sampleBatches(samples, { ...rows, only: validation }), config.evalBatches),
    }),
    rows: packing
      ? packRows(
          train.map((sample) => samples.length(sample) - 1),
          context,
          seed,
          0,
        ).length
      : train.length,
    counts: { train: count(train), validation: count(validation) },
    context,
    notice: noticeOf(tokenized, context),
  };
}

type Tokenizing = SampleDataOptions & { readonly context: number; readonly trainOnInputs: boolean };

const tokenizeDatasets = (datasets: readonly Dataset[], options: Tokenizing): Promise<TokenizedSamples> =>
  tokenizeRecords(recordsOf(datasets), options);

async function* recordsOf(datasets: readonly Dataset[]) {
  for (const dataset of datasets) {
    const rendering = renderingOf(dataset);
    const format = dataset.dsType === undefined ? {} : { format: dataset.dsType };
    for await (const record of locatedRecords(dataset.path, format)) yield { ...record, rendering };
  }
}

function renderingOf({ type, field, fieldMessages, messagePropertyMappings: names }: Dataset): RenderOptions {
  return {
    ...(type && { kind: kinds[type] }),
    ...(field && { field }),
    ...(fieldMessages && { messagesField: fieldMessages }),
    ...(names?.role && { roleField: names.role }),
    ...(names?.content && { contentField: names.content }),
  };
}

/** Samples of each side, chosen by the seed: a share of them below 1, or a number. */
function holdOut(count: number, size: number, seed: number): { train: number[]; validation: number[] } {
  const held = size < 1 ? Math.round(count * size) : size;
  if (held >= count || (size > 0 && held === 0))
    fail("config", `val_set_size is ${size}: of ${count} samples it holds ${held} out; both sides need one at least`);
  const place = keyedPermutation(count, seed, 0x5917);
  const chosen = new Set(Array.from({ length: held }, (_, i) => place(i)));
  const all = Array.from({ length: count }, (_, i) => i);
  return { train: all.filter((i) => !chosen.has(i)), validation: all.filter((i) => chosen.has(i)) };
}

async function* firstOf<T>(items: AsyncIterable<T>, count: number): AsyncGenerator<T> {
  let given = 0;
  for await (const item of items) {
    yield item;
    if (++given >= count) return;
  }
}

function noticeOf({ truncated, empty, samples }: TokenizedSamples, length: number): string | undefined {
  const said: string[] = [];
  if (truncated.samples > 0)
    said.push(`${truncated.samples} samples cut to sequence_len ${length} (${truncated.tokens} tokens lost)`);
  if (empty > 0) said.push(`${empty} records left out, nothing in them to learn`);
  return said.length > 0 ? `${samples.count} samples: ${said.join("; ")}` : undefined;
}
