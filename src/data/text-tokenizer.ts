/** What fine-tuning data needs of a tokenizer. */
export interface TextTokenizer {
  /**
   * Ids of a text. `specials` (default as the tokenizer has it) adds what the model expects around a text, such as a
   * beginning-of-text token; special tokens written out in the text are read as such either way.
   */
  encode(text: string, options?: { specials?: boolean }): number[];
  decode(ids: readonly number[]): string;
  readonly vocabulary: number;
  /** Ids of the tokens that begin a text, end it, and fill up a row. */
  readonly bos?: number;
  readonly eos?: number;
  readonly pad?: number;
}

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/** A conversation as the one text the model reads; with `addGenerationPrompt`, up to where the assistant's answer begins. */
export type ChatTemplate = (
  messages: readonly { role: string; content: string }[],
  options?: { addGenerationPrompt?: boolean },
) => string;
