/** How fast this machine multiplies matrices, in float32 operations per second: what utilisation is a share of. */
import { type CompileOptions, compile } from "../runtime/index.js";
import { normalArray, Variable } from "../tensor/index.js";

/** The best of a few 1024 × 1024 products; eight take about a tenth of a second. */
export async function matmulRate(options: CompileOptions = {}, products = 8): Promise<number> {
  const n = 1024;
  const matrix = (site: string) => new Variable(normalArray({ seed: 1, site }, [n, n]));
  const [a, b] = [matrix("a"), matrix("b")];
  // Only a row comes back to the host, so that copying is not what is timed.
  const product = compile(() => ({ row: a.matmul(b).slice({ end: 1 }) }), options);
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < products; i++) {
    const start = performance.now();
    await product({});
    best = Math.min(best, (performance.now() - start) / 1000);
  }
  await product.release();
  return (2 * n ** 3) / best;
}
