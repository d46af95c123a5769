import {
  type ResidualStream,
  readersOfBlock,
  type StreamReader,
  type StreamWriter,
  writersOfBlock,
} from "../nn/index.js";
import { fail } from "../tensor/index.js";
import type { GPT } from "./gpt.js";

const pathOf = (layer: number): string => `model.layers.${layer}`;

/** The input norms of a decoder's blocks and its final norm, with what reads them. */
export function readersOfGPT({ model, lm_head: head }: GPT): StreamReader[] {
  const readers = model.layers.flatMap((block, layer) => readersOfBlock(pathOf(layer), block));
  return model.norm ? [...readers, { norm: "model.norm", linears: head ? ["lm_head"] : [] }] : readers;
}

/** The residual stream of a decoder. Throws where a block is not Pre-LN or the head reads the stream without a norm. */
export function streamOfGPT(gpt: GPT): ResidualStream {
  const { model, lm_head: head, config } = gpt;
  const writers = model.layers.flatMap((block, layer) => writersOfBlock(pathOf(layer), block));
  if (!model.norm)
    fail(
      "conversion",
      "the head reads the stream without a norm (finalNorm: false), so the stream's mean is not redundant",
    );
  const tables: StreamWriter[] = [{ path: "model.embed_tokens.weight", axis: 1 }];
  if (model.embed_positions) tables.push({ path: "model.embed_positions.weight", axis: 1 });
  return {
    width: config.width,
    // A norm on the embeddings is where the stream starts; the tables then write to the norm.
    writers: [...(model.embed_norm ? [] : tables), ...writers],
    readers: readersOfGPT(gpt),
    start: model.embed_norm && "model.embed_norm",
    tied: !head,
    dropout: Math.max(0, ...model.layers.map(({ dropout }) => dropout)),
  };
}
