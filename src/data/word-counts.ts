import { ownString, type WordSplit, wordExpression } from "./split-words.js";

/** How often each word of a text occurs, counted piece by piece. */
export class WordCounts {
  readonly words: string[] = [];
  readonly counts: number[] = [];
  private readonly indices = new Map<string, number>();
  private readonly expression: RegExp;

  constructor(split: WordSplit) {
    this.expression = wordExpression(split);
  }

  /** Adds a text of its own: words do not continue into the next. */
  add(text: string): void {
    for (const word of text.match(this.expression) ?? []) {
      const index = this.indices.get(word);
      if (index !== undefined) this.counts[index] = (this.counts[index] as number) + 1;
      else {
        const own = ownString(word);
        this.indices.set(own, this.words.length);
        this.words.push(own);
        this.counts.push(1);
      }
    }
  }
}
