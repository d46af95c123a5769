/** `layerwise tokenizer train` and `layerwise tokenizer encode`. */
import { mkdir } from "node:fs/promises";
import { type Command, Option } from "commander";
import { type BytePairProgress, trainBytePair } from "../data/byte-pair.js";
import type { WordSplit } from "../data/split-words.js";
import { openPieces } from "../data/text-files.js";
import { Tokenizer, writeTokenizer } from "../data/tokenizer-files.js";
import { endInterrupted, interruptible } from "./interrupt.js";
import { positiveNumber } from "./numbers.js";
import { progressBar } from "./progress.js";
import { printable } from "./step-line.js";
import { terminalOf } from "./terminal.js";

interface TrainOptions {
  readonly vocabulary: number;
  readonly output: string;
  readonly special: readonly string[];
  readonly split: WordSplit;
  readonly minFrequency: number;
}

const examples = `
Examples:
  $ layerwise tokenizer train corpus.txt --output my-tokenizer
  $ layerwise tokenizer train "src/**/*.ts" docs/ --vocabulary 16384 --split llama3
  $ layerwise tokenizer encode my-tokenizer "Hello world"

Train a model on its tokens with "data: { path: corpus.txt, tokens: my-tokenizer }".`;

export function registerTokenizer(program: Command): void {
  const tokenizer = program
    .command("tokenizer")
    .description("train a byte-pair tokenizer, or see what one does")
    .addHelpText("after", examples);
  tokenizer
    .command("train")
    .description("learn tokens from text; writes tokenizer.json as Hugging Face reads it")
    .argument("<text...>", "files, folders or globs of UTF-8 text, .gz too")
    .option("--vocabulary <n>", "tokens in all: specials, 256 bytes, merges", positiveNumber, 8192)
    .option("--output <folder>", "where it goes", "tokenizer")
    .option("--special <token...>", "tokens that stand for no text; the first ends texts", ["<|endoftext|>"])
    .addOption(new Option("--split <words>", "how text is cut into words").choices(["gpt2", "llama3"]).default("gpt2"))
    .option("--min-frequency <n>", "merge no pair that occurs less often", positiveNumber, 2)
    .action(train);
  tokenizer
    .command("encode")
    .description("print the ids of a text and the tokens they stand for")
    .argument("<folder>", "folder with a tokenizer.json")
    .argument("<text>", "the text itself")
    .action(encode);
}

async function train(paths: string[], options: TrainOptions): Promise<void> {
  const { vocabulary, output, special: specials, split, minFrequency } = options;
  const bar = progressBar(terminalOf(process.stdout));
  const begun = performance.now();
  const learn = async (signal: AbortSignal): Promise<string> => {
    const { bytes, pieces } = await openPieces(paths);
    // Before the work rather than after it: a folder that cannot be made.
    await mkdir(output, { recursive: true });
    const onProgress = (progress: BytePairProgress): void => bar.show(...frame(progress, bytes));
    const file = await trainBytePair(pieces, { vocabulary, specials, split, minFrequency, onProgress, signal });
    await writeTokenizer(output, file);
    return summary(Object.keys(file.model.vocab).length, vocabulary, bytes, performance.now() - begun);
  };
  try {
    const done = await interruptible(learn, () => endInterrupted("interrupted; nothing was written"));
    bar.close();
    process.stdout.write(`${done}written to ${printable(output)}\n`);
  } finally {
    bar.close();
  }
}

/** Characters are at most as many as bytes, so the bar of the first phase may stop short of its end. */
const frame = (progress: BytePairProgress, bytes: number): [number, string] =>
  progress.phase === "counting"
    ? [progress.characters / bytes, `${count(progress.words)} words of ${megabytes(bytes)}`]
    : [progress.tokens / progress.vocabulary, `${count(progress.tokens)} of ${count(progress.vocabulary)} tokens`];

function summary(tokens: number, wanted: number, bytes: number, milliseconds: number): string {
  const seconds = milliseconds / 1000;
  const rate = `${megabytes(bytes)} in ${seconds.toFixed(1)} s, ${(bytes / 1e6 / seconds).toFixed(1)} MB/s`;
  const short = tokens < wanted ? `; the text repeats too little for ${count(wanted)}` : "";
  return `${count(tokens)} tokens${short} (${rate})\n`;
}

const count = (n: number): string => n.toLocaleString("en");
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

async function encode(folder: string, text: string): Promise<void> {
  const tokenizer = await Tokenizer.open(folder);
  const ids = tokenizer.encode(text);
  const width = String(tokenizer.vocabulary - 1).length;
  for (const id of ids) {
    const token = printable(tokenizer.tokenOf(id) ?? "");
    process.stdout.write(`${String(id).padStart(width)}  ${token}\n`);
  }
  const bytes = new TextEncoder().encode(text).length;
  process.stdout.write(`${count(ids.length)} tokens for ${count(bytes)} bytes\n`);
}
