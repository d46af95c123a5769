/**
 * Where a token stands, told to the model in one of three places: added to the embeddings, turned into the queries and
 * keys, or added to the attention scores. A value of this type says which.
 */
import type { Tensor } from "../../tensor/index.js";
import type { Embedding } from "../embedding.js";

export interface Positions {
  readonly name: string;
  /** A table [context, width] whose first rows are added to the token embeddings. */
  readonly embedding?: (context: number, width: number) => Embedding;
  /**
   * Queries or keys [batch, heads, tokens, head width], turned: at `positions` (int32 [batch, tokens], below tokens),
   * or at 0, 1, ….
   */
  readonly rotate?: (x: Tensor, positions?: Tensor) => Tensor;
  /**
   * Added to the scores [batch, heads, tokens, keys]; `query` [(batch, 1,) tokens, 1] and `key` [(batch, 1,) 1, keys] are
   * int32 positions.
   */
  readonly bias?: (heads: number, query: Tensor, key: Tensor) => Tensor;
}
