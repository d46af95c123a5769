/**
 * How byte-level tokenizers cut text into words before bytes are merged; merges never cross a cut.
 *
 * Both patterns are those of the models named, with `\s` written as the Unicode property it is in their engine
 * (JavaScript's `\s` differs at U+0085 and U+FEFF). Together their alternatives match any text, so nothing is lost.
 */

export type WordSplit = "gpt2" | "llama3";

/** The patterns as they stand in tokenizer.json. */
export const splitPatterns: Readonly<Record<WordSplit, string>> = {
  gpt2: String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  llama3: String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
};

const javascript = (pattern: string): RegExp =>
  new RegExp(
    pattern
      .replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])")
      .replaceAll("\\s", "\\p{White_Space}")
      .replaceAll("\\S", "\\P{White_Space}"),
    "gu",
  );

const compiled: Readonly<Record<WordSplit, RegExp>> = {
  gpt2: javascript(splitPatterns.gpt2),
  llama3: javascript(splitPatterns.llama3),
};

/** The expression that matches words one after the other; global, so `lastIndex` is the caller's to reset. */
export const wordExpression = (split: WordSplit): RegExp => new RegExp(compiled[split]);

/**
 * A copy that shares no memory with the text it was cut from: an engine keeps a whole text alive for one slice of it,
 * and words outlive their text in tables.
 */
export const ownString = (word: string): string =>
  word.length < 13 ? word : (JSON.parse(JSON.stringify(word)) as string);

/**
 * Where `text` may be cut so that both parts give the words of the whole: before a space or line feed that follows a
 * letter or digit, since no word of either pattern goes on there and no pattern looks back. The last such place at or
 * below `most`; 0 without one.
 */
export function safeCut(text: string, most: number = text.length - 1): number {
  for (let i = Math.min(most, text.length - 1); i > 0; i--) {
    const code = text.charCodeAt(i);
    if ((code === 0x20 || code === 0x0a) && letterOrDigit.test(text.charAt(i - 1))) return i;
  }
  return 0;
}

const letterOrDigit = /[\p{L}\p{N}]/u;
