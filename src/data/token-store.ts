import { fail } from "../tensor/errors.js";
import { CharacterIndex } from "./characters.js";
import { type ByteSource, memorySource, type Span, SpanReader } from "./source.js";
import { safeCut } from "./split-words.js";
import type { Tokenizer } from "./tokenizer.js";
import type { TokenStream } from "./tokens.js";

/** Where the ids of an encoded text are kept: in memory, or in a temporary file. */
export interface TokenStore {
  append(bytes: Uint8Array): Promise<void>;
  /** Everything appended, to be read; closing it lets the store go. */
  finish(): Promise<ByteSource>;
  /** Lets go of a store that will not be finished. */
  discard(): Promise<void>;
}

export function memoryStore(): TokenStore {
  const parts: Uint8Array[] = [];
  return {
    append: async (bytes) => {
      parts.push(bytes);
    },
    finish: async () => {
      const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
      parts.reduce((at, part) => {
        all.set(part, at);
        return at + part.length;
      }, 0);
      return memorySource(all, "tokens");
    },
    discard: async () => undefined,
  };
}

/** Text encoded at once. */
const pieceBytes = 1 << 20;
/** Text without any place to cut it, such as a genome, is cut here. */
const longestPiece = 1 << 24;

/**
 * Encodes a side of the corpus once, document by document and about a MiB at a time, into a store; windows are then
 * read by position. No token is added around a document.
 *
 * @throws LayerwiseError "file" naming the file and byte where the text stops being UTF-8.
 */
export async function encodedStream(
  reader: SpanReader,
  tokenizer: Tokenizer,
  store: TokenStore,
): Promise<TokenStream & { close(): Promise<void> }> {
  // Read back by this process alone, so the machine's own byte order will do.
  const Ids = tokenizer.vocabulary <= 1 << 16 ? Uint16Array : Int32Array;
  const width = Ids.BYTES_PER_ELEMENT;
  let length = 0;
  try {
    for (const span of reader.spans)
      for await (const piece of textPieces(reader.source, span, tokenizer.addedTokens)) {
        const ids = Ids.from(tokenizer.encode(piece, { specials: false }));
        length += ids.length;
        await store.append(new Uint8Array(ids.buffer));
      }
    const source = await store.finish();
    return {
      length,
      bytes: reader.size,
      async read(start, count) {
        const bytes = await source.read(start * width, (start + count) * width);
        // A copy begins at 0, which wider elements need.
        return Int32Array.from(new Ids(bytes.slice().buffer, 0, count));
      },
      close: () => source.close(),
    };
  } catch (error) {
    await store.discard();
    throw error;
  }
}

/**
 * The text of a span in pieces of about a MiB, cut so that byte-level tokenizers give the same tokens as for the whole.
 * (One that adds a space at the start of a text adds one per piece.)
 *
 * @throws LayerwiseError "file" naming the file and byte where the text stops being UTF-8.
 */
export async function* textPieces(
  source: ByteSource,
  span: Span,
  addedTokens: readonly string[],
): AsyncGenerator<string> {
  const spaced = addedTokens.filter((token) => /[ \n]/.test(token));
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let rest = "";
  for (let at = span.start; at < span.end; at += pieceBytes) {
    const end = Math.min(span.end, at + pieceBytes);
    try {
      rest += utf8.decode(await source.read(at, end), { stream: end < span.end });
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      // Finds the byte and names it; if it does not, the error above says at least where it began.
      await CharacterIndex.build(new SpanReader(source, [span]));
      fail("file", `${source.locate(at)}: not valid UTF-8`, { cause: error });
    }
    if (end === span.end) break;
    const cut = cutBetweenTokens(rest, spaced) || (rest.length > longestPiece ? characterEnd(rest) : 0);
    if (cut > 0) yield rest.slice(0, cut);
    rest = rest.slice(cut);
  }
  if (rest !== "") yield rest;
}

/** A safe cut that does not lie inside one of the added tokens that have spaces in them. */
function cutBetweenTokens(text: string, spaced: readonly string[]): number {
  const inside = (cut: number): boolean =>
    spaced.some((token) => {
      const found = text.lastIndexOf(token, cut - 1);
      return found >= 0 && found + token.length > cut;
    });
  let cut = safeCut(text);
  while (cut > 0 && inside(cut)) cut = safeCut(text, cut - 1);
  return cut;
}

/** The end of the text, before a first half of a surrogate pair. */
const characterEnd = (text: string): number =>
  /[\ud800-\udbff]$/.test(text.slice(-1)) ? text.length - 1 : text.length;
