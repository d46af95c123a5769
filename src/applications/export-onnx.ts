/**
 * A language model as ONNX in the layout that transformers.js loads: inputs `input_ids`, `attention_mask`,
 * `position_ids` and `past_key_values.N.key` / `.value`, outputs `logits` and `present.N.key` / `.value`, of any batch
 * and length.
 */
import type { GPT } from "../models/index.js";
import { type Attention, type KeyValueCache, unreachable } from "../nn/index.js";
import { type DynamicInput, dynamicModel } from "../runtime/dynamic.js";
import { concat, fail, NDArray, type Tensor, where } from "../tensor/index.js";
import { type ExportType, finish, type OnnxExport } from "./export-program.js";

export interface ExportOptions {
  readonly dtype?: ExportType;
  /** Positions that can be used (default: the context, at most 8192): tables of angles are this long. */
  readonly maxLength?: number;
}

/** Throws where the model depends on the size of its input in a way that one graph cannot have. */
export async function exportLanguageModel(model: GPT, options: ExportOptions = {}): Promise<OnnxExport> {
  const { dtype = "fp32", maxLength = Math.min(model.config.context, 8192) } = options;
  const layers = attentionLayers(model);
  const past = layers.flatMap(({ kvHeads, headWidth }, l) =>
    ["key", "value"].map((part): [string, DynamicInput] => [
      `past_key_values.${l}.${part}`,
      { dtype: "float32", shape: ["batch_size", kvHeads, "past_sequence_length", headWidth] },
    ]),
  );
  const inputs: Record<string, DynamicInput> = {
    input_ids: { dtype: "int64", shape: ["batch_size", "sequence_length"] },
    attention_mask: { dtype: "int64", shape: ["batch_size", "total_sequence_length"] },
    position_ids: { dtype: "int64", shape: ["batch_size", "sequence_length"] },
    ...Object.fromEntries(past),
  };
  const sums = { total_sequence_length: ["past_sequence_length", "sequence_length"] };
  const lowered = dynamicModel(
    (given: Record<string, Tensor>) => forward(model, layers, given, maxLength),
    inputs,
    sums,
    "model",
  );
  return finish(lowered, dtype, {
    dims: { batch_size: 1, sequence_length: 5, past_sequence_length: 2, total_sequence_length: 7 },
    inputs: new Map([
      ["attention_mask", NDArray.from([1, 1, 1, 1, 1, 1, 1], "int64", [1, 7])],
      ["position_ids", NDArray.from([2, 3, 4, 5, 6], "int64", [1, 5])],
    ]),
  });
}

function attentionLayers(model: GPT): Attention[] {
  return model.model.layers.map(({ self_attn }, l) =>
    "kvHeads" in self_attn
      ? (self_attn as unknown as Attention)
      : fail("argument", `export: model.layers.${l}.self_attn keeps no keys and values that could be passed on`),
  );
}

function forward(
  model: GPT,
  layers: readonly Attention[],
  given: Readonly<Record<string, Tensor>>,
  length: number,
): Record<string, Tensor> {
  const input = (name: string): Tensor => given[name] ?? fail("trace", `export: no input "${name}"`);
  const mask = input("attention_mask").cast("int32"); // [batch, total]
  const places = mask.cumsum(-1).sub(1);
  const keyPositions = where(mask.equal(1), places, unreachable);
  const present: Record<string, Tensor> = {};
  const cache: KeyValueCache = {
    length,
    update(layer, keys, values) {
      const l = layers.indexOf(layer);
      const joined = (part: string, fresh: Tensor) => concat([input(`past_key_values.${l}.${part}`), fresh], 2);
      const [allKeys, allValues] = [joined("key", keys), joined("value", values)];
      present[`present.${l}.key`] = allKeys;
      present[`present.${l}.value`] = allValues;
      return { keys: allKeys, values: allValues, positions: keyPositions };
    },
  };
  const positions = input("position_ids").cast("int32");
  const logits = model.apply(input("input_ids"), { positions, cache });
  return { logits, ...present };
}
