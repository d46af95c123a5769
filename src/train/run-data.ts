/** What a run reads, be it windows of a text (`data`) or records (`datasets`): the same to whom trains. */

import { chatTemplateOf } from "../data/chat-template.js";
import { byteTokenizerFile, characterTokenizerFile } from "../data/plain-tokenizers.js";
import { type TextData, text } from "../data/text-files.js";
import type { TextTokenizer } from "../data/text-tokenizer.js";
import type { TokenizerFile } from "../data/tokenizer-file.js";
import { Tokenizer } from "../data/tokenizer-files.js";
import { fail } from "../tensor/errors.js";
import type { TrainConfig } from "./config.js";
import type { Batch } from "./fit.js";
import { openSampleData } from "./sample-data.js";

export interface RunData {
  /** Tokens in all: what a new model needs. */
  readonly vocabulary: number;
  /** Most tokens in a row. */
  readonly context: number;
  /** Rows in one pass. */
  readonly rows: number;
  /** Tokens of each side. */
  readonly tokens: Readonly<Record<"train" | "validation", number>>;
  /** Batches from number `start` on, up to `steps` of them in the whole run. */
  readonly batches: (start: number, steps: number) => AsyncIterable<Batch>;
  readonly validation?: () => AsyncIterable<Batch>;
  readonly bytesPerToken?: number;
  /** Places of a batch, where all batches have as many. */
  readonly tokensPerBatch?: number;
  /** Whose tokens they are: a folder, or a file to be written. */
  readonly tokenizer: string | TokenizerFile;
  readonly notice: string | undefined;
  close(): Promise<void>;
}

/** The checkpoint that a run starts from. */
export interface Base {
  readonly folder: string;
  readonly model: { readonly config: { readonly vocabulary: number; readonly context: number } };
}

/**
 * Opens what a configuration reads. Tokens are the checkpoint's own, unless `data.tokens` names others.
 *
 * @throws LayerwiseError "config" where rows or tokenizer do not fit the checkpoint, and where datasets have no tokenizer;
 * as `text.open` and `openSampleData` for the data itself.
 */
export async function openRunData(config: TrainConfig, base?: Base): Promise<RunData> {
  if (base) checkContext(config, base);
  const data = config.data ? await openText(config, config.data, base) : await openSamples(config, base);
  const most = base?.model.config.vocabulary ?? Infinity;
  if (data.vocabulary <= most) return data;
  await data.close();
  const whose = typeof data.tokenizer === "string" ? data.tokenizer : "data.tokens";
  return fail(
    "config",
    `the tokenizer of ${whose} has ${data.vocabulary} tokens, more than the ${most} of base_model ${base?.folder}; use the checkpoint's own`,
  );
}

function checkContext({ data, sequenceLen }: TrainConfig, { folder, model }: Base): void {
  const [key, context] = data ? ["data.context", data.context] : ["sequence_len", sequenceLen];
  if (context > model.config.context)
    fail(
      "config",
      `${key} is ${context}; base_model ${folder} takes ${model.config.context} tokens at most: set ${key} to that or less`,
    );
}

type TextConfig = NonNullable<TrainConfig["data"]>;

async function openText(config: TrainConfig, options: TextConfig, base: Base | undefined): Promise<RunData> {
  const { path, tokens = base?.folder ?? "bytes", context, validation, separator } = options;
  const { microBatchSize: size, seed, evalBatches } = config;
  const data = await text.open(path, { tokens, context, validation, seed, ...(separator && { separator }) });
  const steps = Math.min(evalBatches, Math.max(1, Math.floor(data.windows("validation") / size)));
  return {
    vocabulary: data.vocabulary,
    context,
    rows: data.windows(),
    tokens: data.lengths,
    batches: (start, steps) => data.batches({ size, steps, seed, start }),
    ...(validation > 0 && { validation: () => data.batches({ size, steps, seed: 0, split: "validation" }) }),
    bytesPerToken: data.bytesPerToken,
    tokensPerBatch: size * context,
    tokenizer: tokenizerOf(tokens, data),
    notice: data.notice,
    close: () => data.close(),
  };
}

function tokenizerOf(tokens: string, data: TextData): string | TokenizerFile {
  if (tokens === "bytes") return byteTokenizerFile();
  if (tokens !== "characters") return tokens;
  return characterTokenizerFile(Array.from({ length: data.vocabulary }, (_, id) => data.decode([id])));
}

async function openSamples(config: TrainConfig, base: Base | undefined): Promise<RunData> {
  if (!base) return fail("config", "datasets need base_model, a checkpoint's folder, whose tokenizer encodes them");
  const tokenizer = await Tokenizer.open(base.folder);
  const hasTemplate = tokenizer.config.chat_template !== undefined && tokenizer.config.chat_template !== null;
  const samples = await openSampleData(config, {
    tokenizer: tokenizer as TextTokenizer,
    ...(hasTemplate && { template: chatTemplateOf(tokenizer, base.folder) }),
  });
  const { counts, context, rows, notice, validation } = samples;
  const isFixed = config.samplePacking || config.padToSequenceLen;
  return {
    vocabulary: tokenizer.vocabulary,
    context,
    rows,
    tokens: { train: counts.train.tokens, validation: counts.validation.tokens },
    batches: (start) => samples.data(start),
    ...(validation && { validation }),
    ...(isFixed && { tokensPerBatch: config.microBatchSize * context }),
    tokenizer: base.folder,
    notice,
    close: async () => undefined,
  };
}
