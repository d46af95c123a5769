/**
 * Norm names of a checkpoint against the placements of a model. `post_attention_layernorm` stands before the MLP in a
 * Pre-LN block and after the attention's addition in a Post-LN one: a name alone says nothing, so sets are compared,
 * block by block, and nothing is guessed.
 */
import { normNames, normsOf, type Placement } from "../nn/index.js";
import { fail, NDArray } from "../tensor/index.js";

type Values = ReadonlyMap<string, NDArray>;

/** Throws where the norms of a block in `values` are not those of its placement, naming the blocks and the norms. */
export function checkNormNames(values: Values, placements: readonly Placement[]): void {
  const problems = new Map<string, number[]>();
  for (const [layer, placement] of placements.entries()) {
    const problem = problemOf(values, layer, placement);
    if (problem) problems.set(problem, [...(problems.get(problem) ?? []), layer]);
  }
  if (problems.size === 0) return;
  const lines = [...problems].map(
    ([problem, layers]) => `block${layers.length > 1 ? "s" : ""} ${layers.join(", ")} ${problem}`,
  );
  fail(
    "file",
    `loadStateDict: the norms of the values do not fit the placement of the model: ${lines.join("; ")}. Build the model with the placement it was trained with`,
  );
}

function problemOf(values: Values, layer: number, placement: Placement): string | undefined {
  const has = (name: string) => values.has(`model.layers.${layer}.${name}.weight`);
  const present = normNames.filter(has);
  const expected = normsOf(placement);
  const missing = expected.filter((name) => !has(name));
  const extra = present.filter((name) => !expected.includes(name));
  if (present.length === 0 || missing.length + extra.length === 0) return undefined;
  const parts = [
    missing.length && `misses ${missing.join(" and ")}`,
    extra.length && `has ${extra.join(" and ")} too many`,
  ];
  return `(${placement.kind}) ${parts.filter(Boolean).join(" and ")}`;
}

/** Gemma keeps a gain g as g − 1: add `offset` to the weight of every norm. */
export function offsetGains(values: Values, offset: number): Map<string, NDArray> {
  return new Map(
    [...values].map(([name, value]) => [
      name,
      /norm\.weight$/.test(name)
        ? NDArray.from(
            value.toNumbers().map((w) => w + offset),
            value.dtype,
            value.shape,
          )
        : value,
    ]),
  );
}
