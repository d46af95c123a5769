/** From text to text: a checkpoint folder's model, tokenizer, chat template and settings together. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type ChatMessage, type ChatTemplate, chatTemplateOf } from "../data/chat-template.js";
import { readJson } from "../data/json-file.js";
import { Tokenizer } from "../data/tokenizer-files.js";
import {
  type Decoder,
  type GenerateOptions,
  Generator,
  type GeneratorOptions,
  type GPT,
  HFConfig,
  isObject,
} from "../models/index.js";
import type { CompileOptions } from "../runtime/index.js";
import { fail } from "../tensor/errors.js";
import type { ExportType } from "./export-program.js";
import { openDecoder } from "./open-decoder.js";
import { heldBack } from "./stop-sequences.js";

export interface TextOptions extends Omit<GenerateOptions, "stopTokens"> {
  /** Texts that end the answer and are not part of it. */
  readonly stop?: readonly string[];
}

export interface OpenOptions extends CompileOptions {
  /** How weights are read (default: the checkpoint's own, else the first exported file). */
  readonly dtype?: ExportType;
}

export interface Finish {
  /** "stop": an end token or a stop sequence; "length": maxNewTokens or the context is used up. */
  readonly reason: "stop" | "length";
  readonly promptTokens: number;
  readonly newTokens: number;
}

export class TextGenerator {
  readonly #generator: Generator;
  #template: ChatTemplate | undefined;

  constructor(
    readonly source: GPT | Decoder,
    readonly tokenizer: Tokenizer,
    /** What generation_config.json says: used where a call says nothing else. */
    readonly defaults: TextOptions = {},
    /** Tokens that end an answer. */
    readonly endTokens: readonly number[] = [],
    options: GeneratorOptions = {},
  ) {
    this.#generator = new Generator(source, options);
    const { vocabulary } = this.#generator.decoder;
    if (tokenizer.vocabulary > vocabulary)
      fail(
        "argument",
        `the tokenizer has ${tokenizer.vocabulary} tokens, the model ${vocabulary}: it is another model's`,
      );
  }

  /**
   * Opens a checkpoint folder, an adapter's together with its base, or an exported folder (Node). `dtype`: how weights are
   * read: the file of that type in an exported folder, else the checkpoint's own in fp32, q8 or q4.
   *
   * @throws LayerwiseError "file" naming the file and what is wrong with it.
   */
  static async open(folder: string, options: OpenOptions = {}): Promise<TextGenerator> {
    const opened = await openDecoder(folder, options);
    const { source, config, base, tokenizer: tokenizerFolder, generator } = opened;
    const tokenizer = await Tokenizer.open(tokenizerFolder);
    const { defaults, endTokens } = await generationSettings(base, config);
    const ends = endTokens.length > 0 ? endTokens : tokenizer.eos === undefined ? [] : [tokenizer.eos];
    return new TextGenerator(source, tokenizer, defaults, ends, generator);
  }

  /** Positions that can be used. */
  get context(): number {
    return this.#generator.decoder.context;
  }

  /** Whether there is a chat template. */
  get chats(): boolean {
    return Boolean(this.tokenizer.config.chat_template);
  }

  /** The text that follows, piece by piece; the generator's return value says how it ended. */
  async *stream(prompt: string | readonly ChatMessage[], options: TextOptions = {}): AsyncGenerator<string, Finish> {
    return yield* this.streamFrom(this.idsOf(prompt), options);
  }

  /** The same from tokens, as `idsOf` gives them. */
  async *streamFrom(ids: readonly number[], options: TextOptions = {}): AsyncGenerator<string, Finish> {
    const { stop = [], ...settings } = { ...this.defaults, ...options };
    const text = this.tokenizer.stream({ skipSpecials: true });
    const held = heldBack(stop);
    const { maxNewTokens = 128 } = settings;
    let newTokens = 0;
    for await (const [id] of this.#generator.stream([ids], {
      ...settings,
      maxNewTokens,
      stopTokens: this.endTokens,
    })) {
      if (id === undefined) break;
      newTokens++;
      const isEnd = this.endTokens.includes(id);
      const { ready, isStopped } = held.push(isEnd ? "" : text.push(id));
      if (ready) yield ready;
      if (isEnd || isStopped) {
        if (!isStopped) yield* nonEmpty(held.rest());
        return { reason: "stop", promptTokens: ids.length, newTokens };
      }
    }
    const { ready } = held.push(text.end());
    yield* nonEmpty(ready + held.rest());
    return { reason: "length", promptTokens: ids.length, newTokens };
  }

  /** The whole text that follows. */
  async complete(
    prompt: string | readonly ChatMessage[],
    options: TextOptions = {},
  ): Promise<Finish & { readonly text: string }> {
    let text = "";
    const finish = await eachPiece(this.stream(prompt, options), (piece) => {
      text += piece;
    });
    return { ...finish, text };
  }

  /** The tokens of a text, or of a chat as its template writes it. */
  idsOf(prompt: string | readonly ChatMessage[]): number[] {
    if (typeof prompt === "string") {
      const ids = this.tokenizer.encode(prompt);
      return ids.length > 0
        ? ids
        : fail("argument", "generate: the prompt has no token; write something to go on from");
    }
    const whole = this.#chatTemplate()(prompt, { addGenerationPrompt: true });
    return this.tokenizer.encode(whole, { specials: false });
  }

  release(): Promise<void> {
    return this.#generator.release();
  }

  /** Parsed once, when a chat first asks for it. */
  #chatTemplate(): ChatTemplate {
    if (!this.chats)
      fail("argument", "chat: this model has no chat template; it goes on from text instead: layerwise generate");
    this.#template ??= chatTemplateOf(this.tokenizer);
    return this.#template;
  }
}

/** Hands over every piece of a text as it comes, and gives how the text ended. */
export async function eachPiece(
  pieces: AsyncGenerator<string, Finish>,
  use: (piece: string) => unknown,
): Promise<Finish> {
  for (;;) {
    const { value, done } = await pieces.next();
    if (done) return value;
    await use(value);
  }
}

const nonEmpty = (text: string): string[] => (text ? [text] : []);

interface Settings {
  readonly defaults: TextOptions;
  readonly endTokens: readonly number[];
}

/** `generation_config.json`, and what `config.json` says of it in older folders. */
async function generationSettings(folder: string, config: HFConfig | undefined): Promise<Settings> {
  const own = await readSettings(join(folder, "generation_config.json"));
  const ends = endTokensOf(own) ?? endTokensOf(config) ?? [];
  if (!own) return { defaults: {}, endTokens: ends };
  const given = {
    temperature: own.flag("do_sample", false) ? own.number("temperature", 1) : 0,
    topK: own.optional("top_k"),
    topP: own.optional("top_p"),
    minP: own.optional("min_p"),
    repetitionPenalty: own.optional("repetition_penalty"),
    maxNewTokens: own.optional("max_new_tokens"),
  };
  const defaults = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return { defaults, endTokens: ends };
}

async function readSettings(path: string): Promise<HFConfig | undefined> {
  if (!existsSync(path)) return undefined;
  const value = await readJson(path, 10_000_000);
  return isObject(value) ? new HFConfig(value, path) : fail("file", `${path}: expected an object`);
}

function endTokensOf(config: HFConfig | undefined): number[] | undefined {
  const value = config?.values.eos_token_id;
  if (config === undefined || value === undefined || value === null) return undefined;
  const ids = Array.isArray(value) ? value : [value];
  return ids.every((id) => Number.isInteger(id) && id >= 0)
    ? ids
    : config.refuse("eos_token_id", `expected token ids, got ${JSON.stringify(value)}`);
}
