/** Take whole blocks out of a model: what a residual block adds goes, its shortcut stays. */

import type { GPT } from "../models/index.js";
import { type Block, clone, isOnStream } from "../nn/index.js";
import { fail } from "../tensor/index.js";

/**
 * A copy without the blocks at `indices`. A scaled norm keeps its own factor: what was block 5 of LayerNorm Scaling is
 * still scaled as block 5. Throws for indices that are no blocks or come twice, and for blocks with norms on the stream
 * (Post-LN): their shortcut is no identity, so taking them out does not leave it as it was.
 */
export async function removeBlocks(model: GPT, indices: readonly number[]): Promise<GPT> {
  const { layers } = model.model;
  for (const [i, index] of indices.entries()) {
    if (!Number.isInteger(index) || index < 0 || index >= layers.length)
      fail("argument", `removeBlocks: there is no block ${index}; the model has blocks 0..${layers.length - 1}`);
    if (indices.indexOf(index) !== i) fail("argument", `removeBlocks: block ${index} is named twice`);
    if (isOnStream((layers[index] as Block).placement))
      fail(
        "conversion",
        `removeBlocks: block ${index} is Post-LN, with its norm on the stream; it cannot become an identity`,
      );
  }
  const copy = await clone(model);
  copy.model.layers.splice(0, layers.length, ...copy.model.layers.filter((_, i) => !indices.includes(i)));
  return Object.assign(copy, { config: { ...copy.config, layers: copy.model.layers.length } });
}
