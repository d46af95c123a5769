import { fail } from "../../tensor/index.js";

/**
 * Where a residual block has instance norms: "a" after its first convolution (with batch norm, half and half), "b" after the
 * addition of the stage's last block. The general form says it per position; c ({afterAdd: "ibn"}) and d ({last: "ibn"}) of
 * the paper's ablation are our reading, the authors' code has only a and b.
 */
export type IBNVariant =
  | "a"
  | "b"
  | { readonly first?: "ibn"; readonly last?: "ibn"; readonly afterAdd?: "in" | "ibn" };

/** The variant of every stage: "a" in all but the last, "b" in all but the last two. Throws for other letters and lengths. */
export function variantsOf(
  model: string,
  ibn: "a" | "b" | readonly (IBNVariant | undefined)[] | undefined,
  stages: number,
): readonly (IBNVariant | undefined)[] {
  if (ibn === undefined) return Array.from({ length: stages }, () => undefined);
  if (ibn === "a" || ibn === "b")
    return Array.from({ length: stages }, (_, s) => (s < (ibn === "a" ? stages - 1 : stages - 2) ? ibn : undefined));
  if (typeof ibn === "string")
    return fail(
      "argument",
      `${model}: there is no IBN variant "${ibn as string}"; use "a", "b" or one entry per stage`,
    );
  if (ibn.length !== stages) fail("argument", `${model}: ibn has ${ibn.length} entries for ${stages} stages`);
  for (const variant of ibn)
    if (typeof variant === "string" && variant !== "a" && variant !== "b")
      fail(
        "argument",
        `${model}: there is no IBN variant "${variant as string}"; use "a", "b" or e.g. { first: "ibn" }`,
      );
  return ibn;
}
