import type { ChatTemplate, TextTokenizer } from "../../src/data/text-tokenizer.js";

const special = ["<s>", "</s>", "<|start|>", "<|end|>"];

/**
 * A tokenizer small enough to read: special tokens, runs of letters with the blank before them, and single characters,
 * numbered as they come. As in byte-pair encodings, a blank joins the word that follows.
 */
export function wordTokenizer(
  options: { bos?: boolean } = {},
): TextTokenizer & { words(ids: readonly number[]): string[] } {
  const words = [...special];
  const idOf = (word: string): number => {
    if (!words.includes(word)) words.push(word);
    return words.indexOf(word);
  };
  const pieces = /<s>|<\/s>|<\|start\|>|<\|end\|>| ?[\p{L}\d]+|[\s\S]/gu;
  const wordsOf = (ids: readonly number[]): string[] => ids.map((id) => words[id] as string);
  return {
    encode: (text, { specials = true } = {}) => [
      ...(specials && options.bos ? [0] : []),
      ...(text.match(pieces) ?? []).map(idOf),
    ],
    decode: (ids) => wordsOf(ids).join(""),
    words: wordsOf,
    vocabulary: 1000,
    bos: 0,
    eos: 1,
    pad: 1,
  };
}

/** ChatML, with shorter names. */
export const chatTemplate: ChatTemplate = (messages, { addGenerationPrompt = false } = {}) =>
  messages.map(({ role, content }) => `<|start|>${role}\n${content}<|end|>\n`).join("") +
  (addGenerationPrompt ? "<|start|>assistant\n" : "");
