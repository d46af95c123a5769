/**
 * Sinusoidal positions: a fixed table added to the token embedding.
 *
 *   P[t, 2i] = sin(t / base^(2i/width));   P[t, 2i+1] = cos(t / base^(2i/width))
 *
 * Source: "Attention Is All You Need", 2017.
 */
import { NDArray } from "../../tensor/index.js";
import { Embedding } from "../embedding.js";
import { uninitialized } from "../initial.js";
import type { Positions } from "./positions.js";

export const sinusoidal = ({ base = 10000 }: { readonly base?: number } = {}): Positions => ({
  name: "sinusoidal",
  embedding: (context, width) => {
    const table = uninitialized(() => new Embedding(context, width, { trainable: false }));
    const entries = Float64Array.from({ length: context * width }, (_, n) => {
      const [t, i] = [Math.floor(n / width), n % width];
      const angle = t / base ** ((i - (i % 2)) / width);
      return i % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
    });
    table.weight.set(NDArray.from(entries, "float32", [context, width]));
    return table;
  },
});
