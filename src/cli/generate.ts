/** `layerwise generate` and `layerwise chat`: text from a folder of a checkpoint or an adapter. */
import { createInterface } from "node:readline/promises";
import { type Command, Option } from "commander";
import { type ExportType, exportTypes } from "../applications/export-program.js";
import { eachPiece, type Finish, TextGenerator, type TextOptions } from "../applications/text-generation.js";
import type { ChatMessage } from "../data/chat-template.js";
import type { BackendName } from "../runtime/index.js";
import { fail } from "../tensor/errors.js";
import { interruptible } from "./interrupt.js";
import { number, wholeNumber } from "./numbers.js";

interface Options extends TextOptions {
  readonly stop?: string[];
  readonly backend?: BackendName;
  readonly threads?: number;
  readonly dtype?: ExportType;
  readonly system?: string;
}

const generateExamples = `
Examples:
  $ layerwise generate models/pythia-70m "The quick brown fox"
  $ layerwise generate runs/<run>/model "ROMEO:" --temperature 0.8 --top-k 50 --seed 7
  $ layerwise generate web/model "ROMEO:" --dtype q4        what layerwise export wrote
  $ cat prompt.txt | layerwise generate models/llama-3.2-1b --max-new-tokens 400

Beyond the model's context it forgets the older half and goes on.
Without settings of its own the model's generation_config.json holds, else the likeliest token is taken.`;

const chatExamples = `
Examples:
  $ layerwise chat models/qwen3-0.6b
  $ layerwise chat runs/<run>/adapter                 on its base_model
  $ layerwise chat models/qwen3-0.6b --system "Answer in one sentence." --temperature 0.7

Ctrl-C ends an answer, a second one (or Ctrl-D) the chat. Beyond the model's context the oldest exchanges are forgotten.`;

export function registerGenerate(program: Command): void {
  sampled(program.command("generate").description("go on from a text with a model"))
    .argument("<folder>", "folder of a checkpoint or an adapter, or an exported one")
    .argument("[prompt]", "the text (default: standard input)")
    .addHelpText("after", generateExamples)
    .action(generate);
  sampled(program.command("chat").description("talk with a model that has a chat template"))
    .argument("<folder>", "folder of a checkpoint or an adapter, or an exported one")
    .option("--system <text>", "what the model is told first")
    .addHelpText("after", chatExamples)
    .action(chat);
}

/** The options of everything that draws tokens. */
export const sampled = (command: Command): Command =>
  command
    .option("--max-new-tokens <n>", "how much is written at most", wholeNumber)
    .option("--temperature <t>", "0: always the likeliest token; higher: more varied", number)
    .option("--top-k <k>", "only the k likeliest tokens", wholeNumber)
    .option("--top-p <p>", "only the likeliest tokens with this share together", number)
    .option("--min-p <p>", "only tokens at least this likely, relative to the likeliest", number)
    .option("--repetition-penalty <r>", "above 1: tokens that occurred are less likely", number)
    .option("--seed <n>", "same seed, same text", wholeNumber)
    .option("--stop <text...>", "texts that end the answer")
    .addOption(weightOption())
    .option("--backend <name>", "cpu, webgpu or wasm")
    .option("--threads <n>", "threads of the engine", wholeNumber);

export const weightOption = (): Option =>
  new Option(
    "--dtype <type>",
    "how weights are read, with fewer bits faster and less exactly: an exported folder's file, or a checkpoint as fp32, q8 or q4",
  ).choices(Object.keys(exportTypes));

/** What commander gathered, without what was not given. */
export function textOptions({ backend, threads, dtype, system, ...options }: Options): TextOptions {
  return options;
}

export const engineOptions = ({ backend, threads, dtype }: Pick<Options, "backend" | "threads" | "dtype">) => ({
  ...(backend && { backend }),
  ...(dtype && { dtype }),
  ...(threads !== undefined && { threads }),
});

async function generate(folder: string, given: string | undefined, options: Options): Promise<void> {
  const prompt = given ?? (await standardInput());
  const generator = await TextGenerator.open(folder, engineOptions(options));
  process.stdout.write(prompt);
  const started = performance.now();
  const settings = { slide: true, ...textOptions(options) };
  // Ctrl-C ends the text and keeps what has been written.
  const finish = await interruptible<Finish | undefined>(
    (signal) => eachPiece(generator.stream(prompt, { ...settings, signal }), (piece) => process.stdout.write(piece)),
    () => undefined,
  );
  process.stdout.write("\n");
  if (process.stderr.isTTY && finish) process.stderr.write(`${rate(finish, started)}\n`);
  await generator.release();
}

async function chat(folder: string, options: Options): Promise<void> {
  const generator = await TextGenerator.open(folder, engineOptions(options));
  const { system } = options;
  const messages: ChatMessage[] = system === undefined ? [] : [{ role: "system", content: system }];
  if (!generator.chats) generator.idsOf([]); // says what to do instead
  const terminal = createInterface({ input: process.stdin, output: process.stdout, terminal: process.stdin.isTTY });
  const prompt = process.stdin.isTTY ? "> " : "";
  terminal.setPrompt(prompt);
  terminal.prompt();
  for await (const line of terminal) {
    if (line.trim() === "") {
      terminal.prompt();
      continue;
    }
    messages.push({ role: "user", content: line });
    if (forgetOldest(generator, messages)) process.stderr.write("(the beginning of this chat is forgotten)\n");
    let answer = "";
    await interruptible<Finish | undefined>(
      (signal) =>
        eachPiece(generator.stream(messages, { ...textOptions(options), signal }), (piece) => {
          answer += piece;
          process.stdout.write(piece);
        }),
      () => undefined,
    );
    process.stdout.write("\n");
    messages.push({ role: "assistant", content: answer });
    terminal.prompt();
  }
  process.stdout.write("\n");
  await generator.release();
}

/** Takes exchanges away until a quarter of the context is free for the answer; says whether any went. */
function forgetOldest(generator: TextGenerator, messages: ChatMessage[]): boolean {
  const limit = 0.75 * generator.context;
  const first = messages[0]?.role === "system" ? 1 : 0;
  const before = messages.length;
  while (messages.length > first + 2 && generator.idsOf(messages).length > limit) messages.splice(first, 2);
  return messages.length < before;
}

const rate = ({ newTokens, promptTokens }: Finish, started: number): string => {
  const seconds = (performance.now() - started) / 1000;
  return `${newTokens} tokens after ${promptTokens} in ${seconds.toFixed(1)} s (${(newTokens / seconds).toFixed(1)} a second)`;
};

async function standardInput(): Promise<string> {
  if (process.stdin.isTTY) return fail("argument", "generate: give a prompt, or pipe one in");
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
