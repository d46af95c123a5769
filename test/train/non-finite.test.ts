/** A number that is not finite is traced to the module where it arose, on the way forward and on the way back. */
import { describe, expect, it } from "vitest";
import { Attention, BatchNorm, Conv2d, Lambda, LayerNorm, Linear, Module, Sequential } from "../../src/nn/index.js";
import { NDArray, type Tensor } from "../../src/tensor/index.js";
import { firstNonFinite } from "../../src/train/non-finite.js";

const filled = (shape: readonly number[], value: number): NDArray =>
  new NDArray(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value), shape, "float32");

/** `body` on the way in a chain of modules that are right, with a residual connection past it. */
class Net extends Module {
  readonly first = new Linear(4, 4);
  readonly blocks: readonly Module[];
  readonly last = new Linear(4, 1);

  constructor(...bodies: ((x: Tensor) => Tensor)[]) {
    super();
    this.blocks = bodies.map((body) => new Sequential(new LayerNorm(4), new Lambda(body)));
  }

  override forward(x: Tensor): Tensor {
    return this.last.apply(this.blocks.reduce((y, block) => y.add(block.apply(y)), this.first.apply(x)));
  }
}

const placeIn = (model: Module, x: NDArray = filled([2, 4], 1)): Promise<string | undefined> =>
  firstNonFinite(model, ({ x: input }) => model.apply(input as Tensor).mean(), { x });

const fine = (x: Tensor): Tensor => x.gelu();
/** Finite on the way forward: 0. The slope of the root is not. */
const rootOfZero = (x: Tensor): Tensor => x.mul(0).sqrt();

describe("the place where a number stopped being finite", () => {
  it("is none where all are", async () => {
    expect(await placeIn(new Net(fine, fine))).toBeUndefined();
  });

  const forward: [string, (x: Tensor) => Tensor][] = [
    ["a division by zero", (x) => x.div(x.sub(x))],
    ["the logarithm of zero", (x) => x.mul(0).log()],
    ["an exponential that overflows", (x) => x.square().add(1000).exp()],
    ["the root of a negative number", (x) => x.square().neg().sub(1).sqrt()],
  ];
  it.each(forward)("is the first module whose output is not: %s", async (_, body) => {
    expect(await placeIn(new Net(fine, body, fine))).toBe('the output of "blocks.1.1"');
    expect(await placeIn(new Net(body, body))).toBe('the output of "blocks.0.1"');
  });

  const backward: [string, (x: Tensor) => Tensor][] = [
    ["the slope of a root at zero", rootOfZero],
    ["the slope of a power at zero", (x) => x.mul(0).pow(0.5)],
  ];
  it.each(backward)("is the module whose gradient is the first that is not, on the way back: %s", async (_, body) => {
    expect(await placeIn(new Net(fine, body, fine))).toBe('the gradient of "blocks.1.1"');
    expect(await placeIn(new Net(fine, fine, body))).toBe('the gradient of "blocks.2.1"');
  });

  it("on the way back is the later of two, where the backward pass comes first", async () => {
    expect(await placeIn(new Net(rootOfZero, rootOfZero))).toBe('the gradient of "blocks.1.1"');
  });

  it("is the loss, where its own gradient is not", async () => {
    const model = new Net(fine);
    const loss = ({ x }: Readonly<Record<string, Tensor>>) => rootOfZero(model.apply(x as Tensor)).sum();
    expect(await firstNonFinite(model, loss, { x: filled([2, 4], 1) })).toMatch(/^the gradient of the loss itself/);
  });

  it("is found through attention, whose masks are infinite on purpose", async () => {
    const model = new Sequential(
      new Attention(4, { heads: 2 }),
      new Lambda(rootOfZero),
      new Attention(4, { heads: 1 }),
    );
    expect(await placeIn(model, filled([1, 3, 4], 1))).toBe('the gradient of "1"');
  });

  it("is a parameter, where one is not finite to begin with", async () => {
    const model = new Sequential(new Conv2d(2, 2, 1), new BatchNorm(2));
    (model.layers[1] as BatchNorm).weight?.set(NDArray.from([1, Number.NaN]));
    expect(await placeIn(model, filled([1, 2, 3, 3], 1))).toBe('parameter "1.weight" itself');
  });
});
