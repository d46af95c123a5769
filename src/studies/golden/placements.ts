/** What the papers about placements share: a language model, one block, per-layer diagnostics. */
import { diagnostics } from "./diagnostics.js";
import { encoderBlock } from "./encoder-block.js";
import { languageModel } from "./language-model.js";

export const kinds = [diagnostics, encoderBlock, languageModel];
