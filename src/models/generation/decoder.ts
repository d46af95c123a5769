/** What generation asks of a model, whatever runs it. */
export interface Decoder {
  /** Positions that can be used. */
  readonly context: number;
  readonly vocabulary: number;
  /** Logits [vocabulary] of what follows each row of tokens; what came before is remembered where rows go on. */
  logits(rows: readonly (readonly number[])[]): Promise<Float32Array[]>;
  release(): Promise<void>;
}
