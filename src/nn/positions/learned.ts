/** Learned positions: one trained vector for each of the `context` places, added to the token embedding. As in GPT-2. */
import { Embedding } from "../embedding.js";
import type { Positions } from "./positions.js";

export const learned = (): Positions => ({
  name: "learned",
  embedding: (context, width) => new Embedding(context, width),
});
