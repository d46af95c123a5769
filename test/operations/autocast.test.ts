/** Mixed precision: what `autocast` rounds, what it leaves alone, and that backward passes follow. */
import { describe, expect, it } from "vitest";
import { optimize } from "../../src/compile/passes.js";
import { Attention, causal, recompute } from "../../src/nn/index.js";
import { compile } from "../../src/runtime/index.js";
import {
  autocast,
  grad,
  linear as linearMap,
  NDArray,
  normalArray,
  reachable,
  type Shape,
  type Tensor,
  tensor,
  Variable,
} from "../../src/tensor/index.js";

const drawn = (site: string, shape: Shape) => normalArray({ seed: 1, site }, shape);
const rounded = (array: NDArray) => array.cast("float16").cast("float32");

/** The values, and those where operands are rounded beforehand. */
async function both(product: (x: Tensor, w: Tensor) => Tensor, x: NDArray, w: NDArray): Promise<number[][]> {
  const half = compile(() => ({ y: autocast("float16", () => product(tensor(x), tensor(w))) }), { passes: false });
  const single = compile(() => ({ y: product(tensor(rounded(x)), tensor(rounded(w))) }));
  try {
    return [(await half({})).y.toNumbers(), (await single({})).y.toNumbers()];
  } finally {
    await Promise.all([half.release(), single.release()]);
  }
}

const productsOf = (tensors: readonly Tensor[]) =>
  reachable(tensors).filter(({ operation }) => /matmul|convolution/.test(operation.name));

describe("autocast", () => {
  it.each<[string, (x: Tensor, w: Tensor) => Tensor, Shape, Shape]>([
    ["matmul", (x, w) => x.matmul(w), [5, 7], [7, 3]],
    ["matmul of a transpose", (x, w) => x.matmul(w.transpose()), [2, 5, 7], [3, 7]],
    ["linear", (x, w) => linearMap(x, w), [2, 5, 7], [3, 7]],
    ["conv2d", (x, w) => x.conv2d(w, { padding: 1 }), [2, 3, 5, 5], [4, 3, 3, 3]],
    ["convTranspose2d", (x, w) => x.convTranspose2d(w, { stride: 2 }), [2, 3, 4, 4], [3, 2, 3, 3]],
  ])("takes %s of halves and gives singles", async (_, product, x, w) => {
    const [got, expected] = (await both(product, drawn("x", x), drawn("w", w))) as [number[], number[]];
    const largest = Math.max(...expected.map(Math.abs));
    for (const [i, y] of got.entries()) expect(Math.abs(y - (expected[i] as number))).toBeLessThan(2e-3 * largest);
    const y = autocast("float16", () => product(tensor(drawn("x", x)), tensor(drawn("w", w))));
    expect(y.dtype).toBe("float32");
    expect(productsOf([y]).map(({ outputs }) => outputs[0]?.dtype)).toEqual(["float16"]);
  });

  it("adds a bias in float32, so that its gradient is summed there", async () => {
    const bias = new Variable(NDArray.from([1 + 2 ** -12, 1, 1]), { name: "bias" });
    const zero = NDArray.zeros([1, 7]);
    const program = compile(() => ({
      y: autocast("float16", () => linearMap(tensor(zero), tensor(drawn("w", [3, 7])), bias)),
    }));
    expect((await program({})).y.toNumbers()).toEqual([1 + 2 ** -12, 1, 1]);
    await program.release();
  });

  it("leaves other types, and what is outside, alone", () => {
    const whole = tensor(NDArray.from([[1, 2]], "int32"));
    expect(productsOf([autocast("float16", () => whole.matmul(whole.transpose()))])[0]?.outputs[0]?.dtype).toBe(
      "int32",
    );
    const x = tensor(drawn("x", [2, 2]));
    expect(() =>
      autocast("float16", () => {
        throw new Error("within");
      }),
    ).toThrow("within");
    expect(productsOf([x.matmul(x)])[0]?.outputs[0]?.dtype).toBe("float32");
  });

  it("knows no other type", () => {
    expect(() => autocast("bfloat16" as "float16", () => 0)).toThrow('autocast: expected "float16", got "bfloat16"');
  });

  it.each<[string, (model: Attention) => Attention]>([
    ["as it is", (model) => model],
    ["computed anew in the backward pass", (model) => recompute(model)],
  ])("is followed by every product of the backward pass, attention's own too (%s)", async (_, marked) => {
    const model = marked(new Attention(8, { heads: 2, mask: causal() }));
    const x = drawn("x", [2, 6, 8]);
    const loss = (half: boolean) => {
      const forward = () => model.apply(tensor(x)).square().mean();
      return half ? autocast("float16", forward) : forward();
    };
    const gradients = grad(loss(true), model.parameters());
    expect(gradients.every(({ dtype }) => dtype === "float32")).toBe(true);
    const products = productsOf(gradients);
    expect(products.length).toBeGreaterThanOrEqual(15);
    expect(products.filter(({ outputs }) => outputs[0]?.dtype !== "float16")).toEqual([]);
    const errors = await distances(
      () => grad(loss(true), model.parameters()),
      () => grad(loss(false), model.parameters()),
    );
    for (const error of errors) expect(error).toBeLessThan(1e-2);
  });

  it("does not widen and round again what is only laid out anew in between", () => {
    const w = tensor(drawn("w", [4, 4]));
    const y = autocast("float16", () =>
      tensor(drawn("x", [2, 3, 4]))
        .matmul(w)
        .transpose([0, 2, 1])
        .reshape([8, 3])
        .transpose()
        .matmul(tensor(drawn("v", [8, 2]))),
    );
    const casts = (tensors: readonly Tensor[]) =>
      reachable(tensors).filter(({ operation, inputs }) => operation.name === "cast" && inputs[0]?.dtype === "float16");
    expect(casts([y])).toHaveLength(2);
    expect(casts(optimize([y]))).toHaveLength(1);
  });
});

/** Of each gradient: ‖a - b‖ / ‖b‖. */
async function distances(first: () => Tensor[], second: () => Tensor[]): Promise<number[]> {
  const program = compile(() => {
    const [a, b] = [first(), second()];
    return Object.fromEntries(
      a.map((g, i) => [
        `d${i}`,
        g
          .sub(b[i] as Tensor)
          .square()
          .sum()
          .div((b[i] as Tensor).square().sum())
          .sqrt(),
      ]),
    );
  });
  const results = await program({});
  await program.release();
  return Object.values(results).map((d) => (d as NDArray).item());
}
