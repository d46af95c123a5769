/**
 * What is used of `@huggingface/tokenizers`. Its own declarations name their files without extensions, which Node's
 * module resolution does not find, so the few members needed are declared here.
 */
import * as library from "@huggingface/tokenizers";

export interface LibraryTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: (number | undefined)[] };
  decode(ids: number[]): string;
}

export interface SplitConfig {
  readonly type: "Split";
  readonly pattern?: { readonly Regex?: string };
  readonly behavior?: string;
  readonly invert?: boolean;
}

interface Library {
  readonly Tokenizer: new (file: object, config: object) => LibraryTokenizer;
  readonly SplitPreTokenizer: new (config: SplitConfig) => { readonly pattern: RegExp | null };
}

export const { Tokenizer: LibraryTokenizer, SplitPreTokenizer } = library as unknown as Library;
