import { compile } from "../../runtime/index.js";
import type { NDArray, Tensor } from "../../tensor/index.js";
import type { AnyModule } from "../module.js";

/** max |difference| of two models' outputs on one input, and relative to the largest output of the first. */
export async function compareModels(
  first: AnyModule,
  second: AnyModule,
  input: NDArray,
): Promise<{ absolute: number; relative: number }> {
  const apply = (model: AnyModule, x: Tensor) => (model as unknown as { apply(x: Tensor): Tensor }).apply(x);
  const program = compile(({ x }: { x: Tensor }) => ({ a: apply(first, x), b: apply(second, x) }));
  try {
    const { a, b } = await program({ x: input });
    let [absolute, largest] = [0, 0];
    for (let i = 0; i < a.size; i++) {
      absolute = Math.max(absolute, Math.abs(a.at(i) - b.at(i))); // NaN stays
      largest = Math.max(largest, Math.abs(a.at(i)));
    }
    return { absolute, relative: absolute / (largest || 1) };
  } finally {
    await program.release();
  }
}
