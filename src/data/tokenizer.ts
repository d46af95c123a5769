import { fail, LayerwiseError } from "../tensor/errors.js";
import { LibraryTokenizer } from "./hugging-face.js";
import { byteStream, type StreamVocabulary, type TextStream, tailStream } from "./token-stream-decoder.js";
import { checkTokenizerFile, contentOf, parseJson, type TokenizerFile, tokenIds } from "./tokenizer-file.js";
import { WordEncoder } from "./word-encoder.js";

export type { TextStream } from "./token-stream-decoder.js";

export interface TokenizerSources {
  /** tokenizer_config.json, as text or data: names bos, eos and pad. */
  config?: string | object;
  /** special_tokens_map.json, asked where the configuration names none. */
  specialTokens?: string | object;
  /** What errors call the file. Default "tokenizer.json". */
  name?: string;
}

/**
 * Text to ids and back, by a tokenizer.json of Hugging Face's `tokenizers` (byte-pair, WordPiece or Unigram).
 *
 *   const tokenizer = Tokenizer.from(await (await fetch("tokenizer.json")).text());
 *   tokenizer.decode(tokenizer.encode("Hello 🙂")); // "Hello 🙂"
 *
 * Files are checked before use and may come from anywhere.
 */
export class Tokenizer {
  /** Tokens in all, added ones too: the largest id and one. */
  readonly vocabulary: number;
  /** Ids of the tokens that begin, end and fill a text; undefined where the model names none it has. */
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  readonly pad: number | undefined;
  /** `bos_token`, `eos_token`, `unk_token`, …, where they are named: what chat templates are given. */
  readonly specialTokens: Readonly<Record<string, string>>;
  /** Tokens that are found in a text as they stand, before it is split. */
  readonly addedTokens: readonly string[];
  /** tokenizer_config.json as data; empty without one. */
  readonly config: Readonly<Record<string, unknown>>;
  private readonly library: LibraryTokenizer;
  private readonly ids = new Map<string, number>();
  private readonly tokens = new Map<number, string>();
  private readonly added: ReadonlySet<number>;
  private readonly special: ReadonlySet<number>;
  private readonly words: WordEncoder | undefined;
  private around: Surroundings | null | undefined;

  private constructor(
    private readonly file: TokenizerFile,
    config: Readonly<Record<string, unknown>>,
    specialTokens: Readonly<Record<string, unknown>>,
    private readonly name: string,
  ) {
    this.config = config;
    this.library = this.guard("cannot be used", () => new LibraryTokenizer(file, libraryConfig(config)));
    this.index();
    this.vocabulary = 1 + [...this.tokens.keys()].reduce((most, id) => Math.max(most, id), -1);
    this.added = new Set(file.added_tokens.map(({ id }) => id));
    this.special = new Set(file.added_tokens.filter(({ special }) => special).map(({ id }) => id));
    this.addedTokens = file.added_tokens.map(({ content }) => content);
    this.specialTokens = Object.fromEntries(
      specialKeys.flatMap((key) => {
        const content = contentOf(config[key]) ?? contentOf(specialTokens[key]);
        return content === undefined ? [] : [[key, content]];
      }),
    );
    const { bos_token, eos_token, pad_token } = this.specialTokens;
    this.bos = this.ids.get(bos_token ?? "");
    this.eos = this.ids.get(eos_token ?? "");
    this.pad = this.ids.get(pad_token ?? "");
    const hasOwnSteps = Boolean(config.remove_space || config.do_lowercase_and_remove_accent);
    this.words = hasOwnSteps ? undefined : WordEncoder.of(file, (word) => this.libraryIds(word, false));
  }

  /**
   * @param source tokenizer.json, as text or data.
   * @throws LayerwiseError "file" naming the file and the key that is wrong.
   */
  static from(source: string | object, options: TokenizerSources = {}): Tokenizer {
    const { config = {}, specialTokens = {}, name = "tokenizer.json" } = options;
    const file = checkTokenizerFile(typeof source === "string" ? parseJson(source, name) : source, name);
    return new Tokenizer(
      file,
      record(config, "tokenizer_config.json"),
      record(specialTokens, "special_tokens_map.json"),
      name,
    );
  }

  /** `specials: false` leaves out the tokens a model puts around a text (for text that already has them). */
  encode(text: string, { specials = true }: { specials?: boolean } = {}): number[] {
    const { words } = this;
    if (!words) return text === "" && !specials ? [] : this.libraryIds(text, specials);
    const ids = this.guard("cannot encode", () => words.encode(text));
    if (!specials) return ids;
    this.around ??= this.surroundings();
    return this.around ? [...this.around.before, ...ids, ...this.around.after] : this.libraryIds(text, true);
  }

  /** @throws LayerwiseError "argument" for an id that is no token's. */
  decode(ids: ArrayLike<number>, { skipSpecials = false }: { skipSpecials?: boolean } = {}): string {
    const list = Array.from(ids, (id, i) => {
      this.check(id, `at position ${i}`);
      return id;
    });
    return this.decodeChecked(skipSpecials ? list.filter((id) => !this.special.has(id)) : list);
  }

  /** Decodes token by token; what comes out, joined, is what `decode` gives for all of them. */
  stream({ skipSpecials = false }: { skipSpecials?: boolean } = {}): TextStream {
    const vocabulary: StreamVocabulary = {
      tokenOf: (id) => this.tokens.get(id) as string,
      isAdded: (id) => this.added.has(id),
      decode: (ids) => this.decodeChecked(ids),
    };
    const { type } = (this.file.decoder ?? {}) as { type?: string };
    const stream = type === "ByteLevel" && !this.cleansUp ? byteStream(vocabulary) : tailStream(vocabulary);
    return {
      push: (id) => {
        this.check(id, "in the stream");
        return skipSpecials && this.special.has(id) ? "" : stream.push(id);
      },
      end: () => stream.end(),
    };
  }

  /** The id of a token as the vocabulary writes it ("Ġthe"), or undefined. */
  idOf(token: string): number | undefined {
    return this.ids.get(token);
  }

  tokenOf(id: number): string | undefined {
    return this.tokens.get(id);
  }

  /** The tokens put around a text, seen at a probe; null when they cannot be told apart from it. */
  private surroundings(): Surroundings | null {
    const ids = this.libraryIds("a", true);
    const [only, ...more] = this.libraryIds("a", false);
    const at = ids.indexOf(only as number);
    if (only === undefined || more.length > 0 || at < 0 || ids.includes(only, at + 1)) return null;
    return { before: ids.slice(0, at), after: ids.slice(at + 1) };
  }

  private get cleansUp(): boolean {
    return this.config.clean_up_tokenization_spaces === true;
  }

  private index(): void {
    const { model, added_tokens } = this.file;
    const put = (token: string, id: number): void => {
      this.ids.set(token, id);
      this.tokens.set(id, token);
    };
    for (const [id, token] of tokenIds(model)) put(token, id);
    for (const { content, id } of added_tokens) put(content, id);
  }

  private libraryIds(text: string, specials: boolean): number[] {
    return this.guard("cannot encode", () => {
      const { ids } = this.library.encode(text, { add_special_tokens: specials });
      // The library leaves a hole where a model has no token for something and none for the unknown either.
      return ids.map((id, i) => {
        if (id !== undefined && this.tokens.has(id)) return id;
        return fail("argument", `${this.name}: token ${i} of the text is unknown, and the model has no unk_token`);
      });
    });
  }

  private decodeChecked(ids: readonly number[]): string {
    if (ids.length === 0) return "";
    return this.guard("cannot decode", () => this.library.decode([...ids]));
  }

  private check(id: number, where: string): void {
    if (!this.tokens.has(id))
      fail("argument", `decode: id ${id} ${where} is no token; ids go from 0 to ${this.vocabulary - 1}`);
  }

  /** What the library throws over a broken file, as an error that names the file. */
  private guard<T>(problem: string, act: () => T): T {
    try {
      return act();
    } catch (cause) {
      if (cause instanceof LayerwiseError) throw cause;
      return fail("file", `${this.name}: ${problem} (${cause instanceof Error ? cause.message : String(cause)})`, {
        cause,
      });
    }
  }
}

interface Surroundings {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

const specialKeys = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/** Special tokens as plain text, and no cleaning up after decoding unless asked for: it would change the text. */
function libraryConfig(config: Readonly<Record<string, unknown>>): object {
  const specials = specialKeys.map((key) => [key, contentOf(config[key])]).filter(([, value]) => value !== undefined);
  const { clean_up_tokenization_spaces = false, additional_special_tokens, ...rest } = config;
  const additional = Array.isArray(additional_special_tokens) ? additional_special_tokens.map(contentOf) : [];
  return {
    ...rest,
    ...Object.fromEntries(specials),
    clean_up_tokenization_spaces,
    additional_special_tokens: additional.filter((token) => token !== undefined),
  };
}

function record(source: string | object, where: string): Readonly<Record<string, unknown>> {
  const data = typeof source === "string" ? parseJson(source, where) : source;
  if (typeof data !== "object" || data === null || Array.isArray(data))
    fail(
      "file",
      `${where}: expected an object, got ${data === null ? "null" : Array.isArray(data) ? "a list" : typeof data}`,
    );
  // No prototype: a key such as "__proto__" is then a key like any other.
  return Object.assign(Object.create(null), data);
}
