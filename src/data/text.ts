/**
 * Text for language models, read window by window from corpora of any size.
 *
 * The training and the validation text are each the documents of that side laid end to end, in order, without a
 * separator between them, so documents shorter than the context share a window with their neighbours. A window is
 * `context + 1` tokens: the inputs, and the same moved by one as targets. This file works in memory, so it serves the
 * browser too; `text-files.ts` adds `text.open` for files.
 */

import { fail } from "../tensor/errors.js";
import { type BatchOptions, batchesOf, checkBatchOptions, checkWhole, type TextBatch, windowsOf } from "./batches.js";
import { CharacterIndex } from "./characters.js";
import { type ByteSource, memorySource, type Span, SpanReader } from "./source.js";
import { cutDocuments, splitDocuments } from "./split.js";
import { encodedStream, memoryStore, type TokenStore } from "./token-store.js";
import { Tokenizer } from "./tokenizer.js";
import { byteStream, byteTokens, characterStream, characterTokens, type TokenStream, type Tokens } from "./tokens.js";

export type { BatchOptions, TextBatch } from "./batches.js";

export interface TextOptions {
  /**
   * `bytes`: 256 tokens, any file. `characters`: the code points that occur. A `Tokenizer`: its tokens, none added
   * around documents; a special token that stands in the text is one. For the last two the files must be UTF-8.
   */
  tokens: "bytes" | "characters" | Tokenizer;
  /** Tokens per window. */
  context: number;
  /** Share of the text held back for validation, by whole documents. Default 0.1; 0 holds nothing back. */
  validation?: number;
  /** Key of the choice of validation documents. */
  seed?: number;
  /** Cuts files into documents after each occurrence ("<|endoftext|>", "\n\n"); without it a file is a document. */
  separator?: string;
}

export type SplitName = "train" | "validation";

export interface TextData extends Tokens {
  readonly context: number;
  /** Mean UTF-8 bytes per token of the validation text (training text without one): bits per byte = loss / ln 2 / this. */
  readonly bytesPerToken: number;
  /** Documents and tokens on each side. */
  readonly documents: Readonly<Record<SplitName, number>>;
  readonly lengths: Readonly<Record<SplitName, number>>;
  /** What a reader should know about the split, or undefined for a plain one. */
  readonly notice: string | undefined;
  /**
   * Batches of one side in an order that is a function of (seed, epoch, index) alone.
   * @throws LayerwiseError "argument" for an option out of range or a split that is empty.
   */
  batches(options: BatchOptions & { split?: SplitName }): AsyncIterable<TextBatch>;
  /** Windows in one pass over a side. */
  windows(split?: SplitName): number;
  /** Closes files and removes what was unpacked. */
  close(): Promise<void>;
}

/**
 * A corpus held in memory: one document, or several.
 *
 *   const data = await text.from(shakespeare, { tokens: "characters", context: 64 });
 *
 * @throws LayerwiseError "file" for an empty corpus or one shorter than a window, "argument" for bad options.
 */
async function from(documents: string | readonly string[], options: TextOptions): Promise<TextData> {
  const encoded = (typeof documents === "string" ? [documents] : documents).map((d) => new TextEncoder().encode(d));
  const spans: Span[] = [];
  const bytes = new Uint8Array(encoded.reduce((sum, part) => sum + part.length, 0));
  let position = 0;
  for (const part of encoded) {
    bytes.set(part, position);
    spans.push({ start: position, end: position + part.length });
    position += part.length;
  }
  return textData(memorySource(bytes, "text"), spans, options);
}

export const text = { from };

/** Builds the data set over any source whose spans are its documents. */
export async function textData(
  source: ByteSource,
  spans: readonly Span[],
  options: TextOptions,
  makeStore: () => Promise<TokenStore> = async () => memoryStore(),
): Promise<TextData> {
  const { context, validation = 0.1, seed = 0, separator } = checkOptions(options);
  const filled = spans.filter(({ start, end }) => end > start);
  if (filled.length === 0) fail("file", `text: the corpus is empty (${spans.length} documents, no bytes)`);
  const documents = separator ? await cutDocuments(source, filled, separator) : filled;
  const split = await splitDocuments(source, documents, validation, seed);
  const readers = { train: new SpanReader(source, split.train), validation: new SpanReader(source, split.validation) };
  const { tokens, streams, release } =
    options.tokens === "bytes"
      ? byBytes(readers)
      : options.tokens === "characters"
        ? await byCharacters(readers)
        : await byTokenizer(readers, options.tokens, makeStore);
  try {
    checkLength("training", streams.train, context);
    if (validation > 0) checkLength("validation", streams.validation, context);
  } catch (error) {
    await release?.();
    throw error;
  }
  const windows = {
    train: windowsOf(streams.train.length, context, true),
    validation: windowsOf(streams.validation.length, context, false),
  };
  const measured = validation > 0 ? streams.validation : streams.train;
  return {
    ...tokens,
    context,
    bytesPerToken: measured.bytes / measured.length,
    documents: { train: split.train.length, validation: split.validation.length },
    lengths: { train: streams.train.length, validation: streams.validation.length },
    notice: split.notice,
    windows: (side = "train") => windows[side].perEpoch,
    batches: ({ split: side = "train", ...rest }) => {
      checkBatchOptions(rest);
      if (windows[side].perEpoch < 1) fail("argument", `batches: there is no ${side} text (validation: ${validation})`);
      return batchesOf(streams[side], windows[side], rest);
    },
    close: async () => {
      await release?.();
      await source.close();
    },
  };
}

type Sides<T> = Record<SplitName, T>;

interface Tokenized {
  readonly tokens: Tokens;
  readonly streams: Sides<TokenStream>;
  readonly release?: () => Promise<void>;
}

function byBytes(readers: Sides<SpanReader>): Tokenized {
  return {
    tokens: byteTokens,
    streams: { train: byteStream(readers.train), validation: byteStream(readers.validation) },
  };
}

async function byCharacters(readers: Sides<SpanReader>): Promise<Tokenized> {
  const train = await CharacterIndex.build(readers.train);
  const validation = await CharacterIndex.build(readers.validation);
  const codePoints: number[] = [];
  for (let code = 0; code < train.seen.length; code++)
    if (train.seen[code] || validation.seen[code]) codePoints.push(code);
  const { idOf, ...tokens } = characterTokens(codePoints);
  const streams = {
    train: characterStream(readers.train, train, idOf),
    validation: characterStream(readers.validation, validation, idOf),
  };
  return { tokens, streams };
}

async function byTokenizer(
  readers: Sides<SpanReader>,
  tokenizer: Tokenizer,
  makeStore: () => Promise<TokenStore>,
): Promise<Tokenized> {
  const train = await encodedStream(readers.train, tokenizer, await makeStore());
  const validation = await encodedStream(readers.validation, tokenizer, await makeStore()).catch(async (error) => {
    await train.close();
    throw error;
  });
  return {
    tokens: {
      vocabulary: tokenizer.vocabulary,
      encode: (text) => Int32Array.from(tokenizer.encode(text, { specials: false })),
      decode: (ids) => tokenizer.decode(ids),
    },
    streams: { train, validation },
    release: async () => {
      await train.close();
      await validation.close();
    },
  };
}

function checkOptions(options: TextOptions): TextOptions {
  const { tokens, context, validation = 0.1, separator } = options;
  if (tokens !== "bytes" && tokens !== "characters" && !(tokens instanceof Tokenizer))
    fail("argument", `text: tokens is ${JSON.stringify(tokens)}; expected "bytes", "characters" or a Tokenizer`);
  checkWhole("context", context, 1, "text");
  checkWhole("seed", options.seed ?? 0, Number.MIN_SAFE_INTEGER, "text");
  if (!(validation >= 0 && validation < 1))
    fail("argument", `text: validation is ${validation}; expected 0 to below 1`);
  if (separator === "") fail("argument", "text: separator is empty; leave it out to keep each file one document");
  return options;
}

function checkLength(side: string, { length }: TokenStream, context: number): void {
  if (length < context + 1)
    fail(
      "file",
      `text: the ${side} text has ${length} tokens, a window needs ${context + 1} (context ${context} and one target); ` +
        "use more text, a shorter context or another validation share",
    );
}
