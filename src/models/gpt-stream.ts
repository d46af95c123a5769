import { type ResidualStream, type StreamWriter, streamOfBlock } from "../nn/index.js";
import { fail } from "../tensor/index.js";
import type { GPT } from "./gpt.js";

/** The residual stream of a decoder. Throws where a block is not Pre-LN or the head reads the stream without a norm. */
export function streamOfGPT({ model, lm_head: head, config }: GPT): ResidualStream {
  if (!model.norm)
    fail(
      "conversion",
      "the head reads the stream without a norm (finalNorm: false), so the stream's mean is not redundant",
    );
  const tables: StreamWriter[] = [{ path: "model.embed_tokens.weight", axis: 1 }];
  if (model.embed_positions) tables.push({ path: "model.embed_positions.weight", axis: 1 });
  const blocks = model.layers.map((block, layer) => streamOfBlock(`model.layers.${layer}`, block));
  return {
    width: config.width,
    // A norm on the embeddings is where the stream starts; the tables then write to the norm.
    writers: [...(model.embed_norm ? [] : tables), ...blocks.flatMap(({ writers }) => writers)],
    readers: [...blocks.flatMap(({ readers }) => readers), { norm: "model.norm", linears: head ? ["lm_head"] : [] }],
    start: model.embed_norm && "model.embed_norm",
    tied: !head,
    dropout: Math.max(0, ...model.layers.map(({ dropout }) => dropout)),
  };
}
