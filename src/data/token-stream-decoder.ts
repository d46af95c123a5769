import { bytesOfToken } from "./byte-alphabet.js";

/** Turns ids into text as they come, holding back what is not yet a whole character. */
export interface TextStream {
  /** The text that this token completes; "" while a character is still open. */
  push(id: number): string;
  /** What is left, with U+FFFD for a character that was never completed. */
  end(): string;
}

export interface StreamVocabulary {
  tokenOf(id: number): string;
  /** Added tokens stand for themselves rather than for bytes. */
  isAdded(id: number): boolean;
  decode(ids: readonly number[]): string;
}

/** For byte-level tokenizers: bytes go through one UTF-8 decoder, an added token closes it. */
export function byteStream({ tokenOf, isAdded }: StreamVocabulary): TextStream {
  const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  return {
    push: (id) => {
      const token = tokenOf(id);
      const bytes = isAdded(id) ? undefined : bytesOfToken(token);
      return bytes ? utf8.decode(bytes, { stream: true }) : utf8.decode() + token;
    },
    end: () => utf8.decode(),
  };
}

/** Tokens of context kept so that a decoder that looks at its neighbours sees them. */
const kept = 8;
/** A character has at most four bytes, so this many tokens that end in U+FFFD are no open character. */
const longestWait = 8;

/** For all other tokenizers: decodes a short tail twice, with and without the new tokens, and gives the difference. */
export function tailStream({ decode }: StreamVocabulary): TextStream {
  let shown: number[] = [];
  let waiting: number[] = [];
  const flush = (): string => {
    const before = shown.length === 0 ? "" : decode(shown);
    const all = decode([...shown, ...waiting]);
    shown = [...shown, ...waiting].slice(-kept);
    waiting = [];
    return all.slice(before.length);
  };
  return {
    push: (id) => {
      waiting.push(id);
      if (waiting.length < longestWait && decode([...shown, ...waiting]).endsWith("\uFFFD")) return "";
      return flush();
    },
    end: () => (waiting.length > 0 ? flush() : ""),
  };
}
