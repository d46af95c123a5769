/**
 * Where a token stands, told to the model in one of three places: added to the embeddings, turned into the queries and
 * keys, or added to the attention scores. A value of this type says which.
 */
import type { Tensor } from "../../tensor/index.js";
import type { Embedding } from "../embedding.js";

/** Places other than 0, 1, …: int32 [batch, tokens], each below `length`. */
export interface Place {
  readonly positions: Tensor;
  readonly length: number;
}

export interface Positions {
  readonly name: string;
  /** A table [context, width] whose rows are added to the token embeddings. */
  readonly embedding?: (context: number, width: number) => Embedding;
  /** Queries or keys [batch, heads, tokens, head width], turned; at positions 0, 1, … where no place is given. */
  readonly rotate?: (x: Tensor, place?: Place) => Tensor;
  /** Added to the scores [batch, heads, tokens, keys]; `query` [.., tokens, 1] and `key` [.., 1, keys]: int32 positions. */
  readonly bias?: (heads: number, query: Tensor, key: Tensor) => Tensor;
}
