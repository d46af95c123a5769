import type { RenderedText, TextPart } from "./render.js";
import type { TextTokenizer } from "./text-tokenizer.js";

/** A sample's tokens, and for each whether the model is to learn it. */
export interface TokenSample {
  readonly tokens: readonly number[];
  readonly learned: readonly boolean[];
}

/**
 * Tokens of a rendered record. The text is encoded whole, as it will be read; a token that lies over the seam of two
 * parts belongs to the second. A framed text begins with the tokenizer's beginning token, where it adds one, and ends
 * with its end token, which is learned: it is how an answer stops.
 */
export function encodeParts({ parts, framed }: RenderedText, tokenizer: TextTokenizer): TokenSample {
  const { tokens, learned } = encodeText(parts, tokenizer);
  const { bos, eos } = tokenizer;
  if (framed && bos !== undefined && tokenizer.encode("", { specials: true })[0] === bos) {
    tokens.unshift(bos);
    learned.unshift(parts[0]?.learned ?? false);
  }
  if (framed && eos !== undefined && tokens.at(-1) !== eos) {
    tokens.push(eos);
    learned.push(true);
  }
  return { tokens, learned };
}

function encodeText(parts: readonly TextPart[], tokenizer: TextTokenizer): { tokens: number[]; learned: boolean[] } {
  const encode = (text: string): number[] => tokenizer.encode(text, { specials: false });
  const text = parts.map((part) => part.text).join("");
  const tokens = encode(text);
  const learned = new Array<boolean>(tokens.length).fill(parts.at(-1)?.learned ?? false);
  if (parts.length < 2) return { tokens, learned };
  const ends = seams(parts, tokens, encode);
  let from = 0;
  ends.forEach((end, i) => {
    learned.fill(parts[i]?.learned ?? false, from, end);
    from = Math.max(from, end);
  });
  return { tokens, learned };
}

/** The number of tokens before the end of each part but the last. */
function seams(parts: readonly TextPart[], tokens: readonly number[], encode: (text: string) => number[]): number[] {
  // Mostly the parts' own tokens are the whole's, which costs one more pass.
  const pieces = parts.map(({ text }) => encode(text));
  let [length, isSame] = [0, true];
  const ends = pieces.map((piece) => {
    isSame &&= piece.every((id, k) => tokens[length + k] === id);
    length += piece.length;
    return length;
  });
  if (isSame && length === tokens.length) return ends.slice(0, -1);
  let before = "";
  return parts.slice(0, -1).map(({ text }) => {
    before += text;
    const prefix = encode(before);
    const different = prefix.findIndex((id, k) => tokens[k] !== id);
    return different < 0 ? prefix.length : different;
  });
}
