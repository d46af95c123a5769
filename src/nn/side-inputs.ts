/**
 * What layers deep inside a model may need besides their input, given once where the model is applied: which tokens are
 * real, which pixels are known, which domain a sample is from. A layer asks for it by name, so a model hands nothing
 * through, and whichever layer stands in another's place finds the same.
 *
 *   withInputs({ padding }, () => model.apply(tokens));      sideInput("padding")
 */
import type { Tensor } from "../tensor/index.js";

export interface SideInputs {
  /** Bool [batch, tokens], true where a token (a node) is real. */
  readonly padding?: Tensor | undefined;
  /** Float or bool [batch, 1, height, width], 1 where a pixel is in a hole and 0 where it is valid. */
  readonly region?: Tensor | undefined;
  /** Int [batch]: the domain a sample is from. */
  readonly domain?: Tensor | undefined;
}

let given: SideInputs = {};

/** Run `body` with these, and with those given around it that are not given again. */
export function withInputs<T>(inputs: SideInputs, body: () => T): T {
  const outer = given;
  given = { ...outer, ...inputs };
  try {
    return body();
  } finally {
    given = outer;
  }
}

export const sideInput = (name: keyof SideInputs): Tensor | undefined => given[name];
export const sideInputs = (): SideInputs => given;
