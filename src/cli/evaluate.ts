/** `layerwise evaluate <folder>`: loss on text, accuracy on questions. */
import type { Command } from "commander";
import {
  type Choice,
  type ChoiceAccuracy,
  choiceOf,
  Evaluator,
  type TextLoss,
  together,
} from "../applications/evaluation.js";
import { openCheckpoint } from "../applications/open-checkpoint.js";
import { locatedRecords } from "../data/records.js";
import { openPieces } from "../data/text-files.js";
import { Tokenizer } from "../data/tokenizer-files.js";
import type { BackendName } from "../runtime/index.js";
import { fail } from "../tensor/errors.js";
import { engineOptions } from "./generate.js";
import { endInterrupted, interruptible } from "./interrupt.js";
import { wholeNumber } from "./numbers.js";
import { type Progress, progressBar } from "./progress.js";
import { terminalOf } from "./terminal.js";

interface Options {
  readonly text?: string[];
  readonly choices?: string[];
  readonly json?: true;
  readonly backend?: BackendName;
  readonly threads?: number;
}

const help = `
Examples:
  $ layerwise evaluate models/pythia-70m --text held-out.txt
  $ layerwise evaluate models/qwen3-0.6b --choices questions.jsonl --json

A line of questions.jsonl: {"prompt": "The sky is", "choices": [" blue", " green"], "answer": 0}
The answer is an index, a letter (A is the first) or the choice itself.`;

export function registerEvaluate(program: Command): void {
  program
    .command("evaluate")
    .description("measure a model: loss and bits per byte on text, accuracy on multiple-choice questions")
    .argument("<folder>", "folder of a checkpoint or an adapter")
    .option("--text <paths...>", "files, folders or globs of text")
    .option("--choices <paths...>", "questions as JSON lines, CSV or Parquet")
    .option("--json", "as JSON")
    .option("--backend <name>", "cpu, webgpu or wasm")
    .option("--threads <n>", "threads of the engine", wholeNumber)
    .addHelpText("after", help)
    .action(evaluate);
}

async function evaluate(folder: string, options: Options): Promise<void> {
  const { text, choices, json } = options;
  if (!text && !choices) fail("argument", "evaluate: give --text, --choices or both");
  const questions = choices && (await readQuestions(choices));
  const engine = engineOptions(options);
  const { model, tokenizer } = await openCheckpoint(folder, engine);
  const evaluator = new Evaluator(model, await Tokenizer.open(tokenizer), engine);
  const bar = progressBar(terminalOf(process.stderr));
  const measure = async (signal: AbortSignal): Promise<Results> => ({
    ...(text && { text: await lossOf(evaluator, text, bar, signal) }),
    ...(questions && {
      choices: await evaluator.choiceAccuracy(questions, {
        signal,
        onProgress: (done) => bar.show(done, `${Math.round(done * questions.length)} of ${questions.length} questions`),
      }),
    }),
  });
  try {
    const results = await interruptible(measure, () => endInterrupted("evaluate: interrupted"));
    bar.close();
    process.stdout.write(json ? `${JSON.stringify(results, null, 2)}\n` : asText(results));
  } finally {
    bar.close();
    await evaluator.release();
  }
}

async function readQuestions(paths: readonly string[]): Promise<Choice[]> {
  const questions: Choice[] = [];
  for await (const { record, place } of locatedRecords(paths)) questions.push(choiceOf(record, place));
  return questions;
}

/** Piece by piece, so that no corpus is too large; what a piece's first token is worth is not counted. */
async function lossOf(evaluator: Evaluator, paths: string[], bar: Progress, signal: AbortSignal): Promise<TextLoss> {
  const { bytes, pieces } = await openPieces(paths);
  const losses: TextLoss[] = [];
  let done = 0;
  for await (const piece of pieces) {
    const size = Buffer.byteLength(piece);
    const onProgress = (share: number) =>
      bar.show(
        (done + share * size) / bytes,
        `${((done + share * size) / 1e6).toFixed(1)} of ${(bytes / 1e6).toFixed(1)} MB`,
      );
    losses.push(await evaluator.textLoss(piece, { signal, onProgress }));
    done += size;
  }
  return losses.length > 0 ? together(losses) : fail("argument", "evaluate: the text is empty");
}

interface Results {
  readonly text?: TextLoss;
  readonly choices?: ChoiceAccuracy;
}

function asText({ text, choices }: Results): string {
  const rows: [string, string][] = [
    ...(text
      ? ([
          ["loss", `${text.loss.toFixed(4)} nats per token (perplexity ${text.perplexity.toPrecision(4)})`],
          ["bits per byte", text.bitsPerByte.toFixed(4)],
          ["text", `${text.tokens.toLocaleString("en")} tokens, ${text.bytes.toLocaleString("en")} bytes`],
        ] satisfies [string, string][])
      : []),
    ...(choices
      ? ([
          [
            "accuracy",
            `${percent(choices.accuracy)} ± ${percent(choices.standardError)} of ${choices.questions} questions`,
          ],
          ["per byte", `${percent(choices.normalized)} (likelihood divided by the answer's length)`],
        ] satisfies [string, string][])
      : []),
  ];
  return `${rows.map(([name, value]) => `${name.padEnd(15)}${value}`).join("\n")}\n`;
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
