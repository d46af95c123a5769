/**
 * GPT-2's checkpoint as ours. GPT-2 keeps linear weights [in, out] and q, k, v side by side in one matrix; our names
 * and layouts are Llama's. The mapping only moves numbers, so it serves gradients too.
 */
import { fail, NDArray } from "../tensor/index.js";

const names: readonly (readonly [RegExp, string])[] = [
  [/^wte\./, "model.embed_tokens."],
  [/^wpe\./, "model.embed_positions."],
  [/^ln_f\./, "model.norm."],
  [/^h\.(\d+)\.ln_1\./, "model.layers.$1.input_layernorm."],
  [/^h\.(\d+)\.ln_2\./, "model.layers.$1.post_attention_layernorm."],
  [/^h\.(\d+)\.attn\.c_proj\./, "model.layers.$1.self_attn.o_proj."],
  [/^h\.(\d+)\.mlp\.c_fc\./, "model.layers.$1.mlp.up_proj."],
  [/^h\.(\d+)\.mlp\.c_proj\./, "model.layers.$1.mlp.down_proj."],
  [/^lm_head\./, "lm_head."],
];
const fused = /^h\.(\d+)\.attn\.c_attn\.(weight|bias)$/;
const keptInOut = /\.c_(proj|fc|attn)\.weight$/;

/**
 * Values for `gpt({ norm: "layer", positions: "learned", mlp: "gelu-tanh", bias: true, tieEmbeddings: true, … })`.
 * Throws for names GPT-2 does not have.
 */
export function fromGPT2(values: ReadonlyMap<string, NDArray>): Map<string, NDArray> {
  const ours = new Map<string, NDArray>();
  for (const [name, value] of values) {
    const plain = name.replace(/^transformer\./, "");
    const array = keptInOut.test(plain) ? transposed(value) : value; // [out, in]
    const [, layer, part] = fused.exec(plain) ?? [];
    if (layer === undefined) ours.set(rename(plain), array);
    else
      for (const [i, x] of ["q", "k", "v"].entries())
        ours.set(`model.layers.${layer}.self_attn.${x}_proj.${part}`, third(array, i));
  }
  return ours;
}

function rename(name: string): string {
  const [pattern, ours] = names.find(([p]) => p.test(name)) ?? fail("file", `fromGPT2: GPT-2 has no tensor "${name}"`);
  return name.replace(pattern, ours);
}

function transposed(value: NDArray): NDArray {
  const [rows, columns] = value.shape as [number, number];
  const entries = Float64Array.from({ length: rows * columns }, (_, n) =>
    value.at((n % rows) * columns + Math.floor(n / rows)),
  );
  return NDArray.from(entries, value.dtype, [columns, rows]);
}

/** The i-th third along the first axis. */
function third(value: NDArray, i: number): NDArray {
  const [rows, ...rest] = value.shape as [number, ...number[]];
  const size = value.size / 3;
  return new NDArray(value.data.slice(i * size, (i + 1) * size), [rows / 3, ...rest], value.dtype);
}
