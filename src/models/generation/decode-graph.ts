/**
 * One graph for prompts and single tokens, any batch and any capacity: what the tokens add to keys and values is written
 * into their slots, and the logits after one token of each row are computed. Where tokens stand is told by inputs.
 */
import type { Attention, KeyValueCache } from "../../nn/index.js";
import { type DynamicInput, type DynamicModel, dynamicModel } from "../../runtime/dynamic.js";
import { arange, concat, fail, inference, type Target, type Tensor } from "../../tensor/index.js";
import type { GPT } from "../gpt.js";

/** Keys and values of one layer: [batch, key/value heads, slots + 1, head width] each. */
export interface KeptLayer {
  readonly kvHeads: number;
  readonly headWidth: number;
  /** How far back it sees, if not all the way. */
  readonly window: number | undefined;
}

export interface DecodeGraph {
  readonly lowered: DynamicModel;
  readonly layers: readonly KeptLayer[];
  /** Positions from here on have no row in the tables. */
  readonly length: number;
}

export const keyValueParts = ["key", "value"] as const;
/** Layers of one window share their slots. */
export const slotsName = (window: number | undefined): string => (window === undefined ? "all" : `window ${window}`);
export const pastName = (layer: number, part: string): string => `past.${layer}.${part}`;
export const presentName = (layer: number, part: string): string => `present.${layer}.${part}`;

/** Throws a "trace" error where the model depends on the size of its input in a way that one graph cannot have. */
export function decodeGraph(model: GPT, length: number, target: Target): DecodeGraph {
  const attentions = attentionLayers(model);
  const layers = attentions.map(({ kvHeads, headWidth, mask: { window } }) => ({
    kvHeads,
    headWidth,
    window: window !== undefined && window < model.config.context ? window : undefined,
  }));
  const inputs: Record<string, DynamicInput> = {
    tokens: { dtype: "int32", shape: ["batch", "length"] },
    positions: { dtype: "int32", shape: ["batch", "length"] },
    rows: { dtype: "int32", shape: ["batch", 1] },
    last: { dtype: "int32", shape: ["batch", 1] },
  };
  for (const { window } of layers) {
    const name = slotsName(window);
    inputs[`places ${name}`] = { dtype: "int32", shape: ["batch", "length"] };
    inputs[`held ${name}`] = { dtype: "int32", shape: ["batch", `slots ${name}`] };
  }
  for (const [l, { kvHeads, headWidth, window }] of layers.entries())
    for (const part of keyValueParts)
      inputs[pastName(l, part)] = {
        dtype: "float32",
        shape: ["batch", kvHeads, `slots ${slotsName(window)}`, headWidth],
      };
  const forward = (given: Readonly<Record<string, Tensor>>) =>
    inference(() => nextLogits(model, attentions, layers, given, length));
  return { lowered: dynamicModel(forward, inputs, {}, "decode", {}, target), layers, length };
}

function attentionLayers(model: GPT): Attention[] {
  return model.model.layers.map(({ self_attn }, l) =>
    "kvHeads" in self_attn
      ? (self_attn as unknown as Attention)
      : fail("argument", `generate: model.layers.${l}.self_attn keeps no keys and values that a next token could use`),
  );
}

function nextLogits(
  model: GPT,
  attentions: readonly Attention[],
  layers: readonly KeptLayer[],
  given: Readonly<Record<string, Tensor>>,
  length: number,
): Record<string, Tensor> {
  const input = (name: string): Tensor => given[name] ?? fail("trace", `generate: no input "${name}"`);
  const present: Record<string, Tensor> = {};
  const cache: KeyValueCache = {
    length,
    update(attention, keys, values) {
      const l = attentions.indexOf(attention);
      const name = slotsName(layers[l]?.window);
      const at = slotIndices(input("rows"), input(`places ${name}`), attention.kvHeads);
      const put = (part: string, fresh: Tensor) => {
        const next = input(pastName(l, part)).indexPut(at, fresh);
        present[presentName(l, part)] = next;
        return next;
      };
      return { keys: put("key", keys), values: put("value", values), positions: input(`held ${name}`) };
    },
  };
  const logits = model.next(input("tokens"), input("last"), { positions: input("positions"), cache });
  return { logits, ...present };
}

/** (row, head, slot) of every head of every token: int32 [batch, heads, length, 3]. */
function slotIndices(rows: Tensor, places: Tensor, heads: number): Tensor {
  const [B, T] = places.shape as [number, number];
  const shape = [B, heads, T, 1];
  return concat(
    [
      rows.reshape([B, 1, 1, 1]).expand(shape),
      arange(heads).reshape([1, heads, 1, 1]).expand(shape),
      places.reshape([B, 1, T, 1]).expand(shape),
    ],
    -1,
  );
}
