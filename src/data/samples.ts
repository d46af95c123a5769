/**
 * Tokenised samples held in memory: four bytes a token, what is learned and what is only read told by the sign.
 */
import { fail } from "../tensor/errors.js";
import { checkWhole } from "./batches.js";
import { encodeParts, type TokenSample } from "./encode.js";
import type { LocatedRecord } from "./records.js";
import { type RenderOptions, renderRecord } from "./render.js";
import type { TextTokenizer } from "./text-tokenizer.js";

const blockTokens = 1 << 20;

/** Samples in the order they came. */
export class Samples {
  private readonly blocks: Int32Array[] = [];
  private used = 0;
  private readonly places: { block: number; start: number; length: number }[] = [];
  /** Tokens of all samples, and those that are learned. */
  tokens = 0;
  learned = 0;
  /** `pad` fills rows up; it is never learned, so any id serves. */
  constructor(
    readonly pad = 0,
    /** Most tokens to hold (default 2²⁸, 1 GiB). */
    readonly limit = 2 ** 28,
  ) {}

  get count(): number {
    return this.places.length;
  }

  /** @throws LayerwiseError "argument" where the samples outgrow the limit. */
  add({ tokens, learned }: TokenSample): void {
    this.tokens += tokens.length;
    if (this.tokens > this.limit)
      fail(
        "argument",
        `samples: sample ${this.count + 1} takes them past ${this.limit} tokens (4 bytes each), the most that are kept ` +
          "in memory; raise maxTokens, shorten the data, or train on it as plain text",
      );
    const last = this.blocks.at(-1);
    if (!last || this.used + tokens.length > last.length) {
      this.blocks.push(new Int32Array(Math.max(blockTokens, tokens.length)));
      this.used = 0;
    }
    const block = this.blocks.at(-1) as Int32Array;
    tokens.forEach((id, i) => {
      block[this.used + i] = learned[i] ? id : ~id;
      if (learned[i]) this.learned++;
    });
    this.places.push({ block: this.blocks.length - 1, start: this.used, length: tokens.length });
    this.used += tokens.length;
  }

  length(sample: number): number {
    return this.places[sample]?.length ?? 0;
  }

  /** Ids, as ~id where a token is only read. */
  signed(sample: number): Int32Array {
    const { block, start, length } = this.places[sample] ?? fail("argument", `samples: there is no sample ${sample}`);
    return (this.blocks[block] as Int32Array).subarray(start, start + length);
  }
}

export interface TokenizeOptions extends RenderOptions {
  readonly tokenizer: TextTokenizer;
  /** Places in a row. A sample takes one token more: its last is only a target. */
  readonly context: number;
  /** Most tokens to hold (default 2²⁸, 1 GiB). */
  readonly maxTokens?: number;
}

export interface TokenizedSamples {
  readonly samples: Samples;
  /** Samples cut at the end for being too long, and the tokens lost so. */
  readonly truncated: { readonly samples: number; readonly tokens: number };
  /** Records left out because nothing in them is learned, all of it cut off or empty. */
  readonly empty: number;
}

/**
 * Reads, renders and encodes records, once; a record may bring `rendering` options of its own. Running texts longer than a row are cut into several samples, neighbours
 * sharing one token; other samples are cut at the end and counted.
 *
 * @throws LayerwiseError "file" for records that cannot be rendered (the place is named) and where nothing is left;
 * "argument" for samples that outgrow `maxTokens` and ids outside the vocabulary.
 */
export async function tokenizeRecords(
  records: AsyncIterable<LocatedRecord & { readonly rendering?: RenderOptions }>,
  options: TokenizeOptions,
): Promise<TokenizedSamples> {
  const { tokenizer, context, maxTokens } = options;
  checkWhole("context", context, 1, "samples");
  const samples = new Samples(tokenizer.pad ?? tokenizer.eos ?? 0, maxTokens);
  const truncated = { samples: 0, tokens: 0 };
  let empty = 0;
  for await (const { record, place, rendering } of records) {
    const rendered = renderRecord(record, place, { ...options, ...rendering });
    const whole = encodeParts(rendered, tokenizer);
    checkIds(whole.tokens, tokenizer, place);
    const pieces = rendered.running ? windows(whole, context) : [cut(whole, 0, context)];
    const lost = rendered.running ? 0 : Math.max(0, whole.tokens.length - context - 1);
    if (lost > 0) truncated.samples++;
    truncated.tokens += lost;
    const kept = pieces.filter(({ learned }) => learned.includes(true, 1));
    if (kept.length === 0) empty++;
    for (const piece of kept) samples.add(piece);
  }
  if (samples.count === 0)
    fail("file", `samples: none of the records (${empty}) has anything to learn within ${context} tokens`);
  return { samples, truncated, empty };
}

const cut = ({ tokens, learned }: TokenSample, start: number, context: number): TokenSample => ({
  tokens: tokens.slice(start, start + context + 1),
  learned: learned.slice(start, start + context + 1),
});

function windows(whole: TokenSample, context: number): TokenSample[] {
  const count = Math.max(1, Math.ceil((whole.tokens.length - 1) / context));
  return Array.from({ length: count }, (_, i) => cut(whole, i * context, context));
}

function checkIds(ids: readonly number[], { vocabulary }: TextTokenizer, place: string): void {
  const wrong = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < vocabulary));
  if (wrong !== undefined)
    fail("argument", `${place}: the tokenizer gave id ${wrong}; expected whole numbers below its ${vocabulary}`);
}
