/**
 * Convolutions as layers, channels first, with torch's names, options and first values (U(±1/√fan-in)):
 *
 *   Conv1d             x [B, C, T],    weight [out, in/groups, k]
 *   Conv2d             x [B, C, H, W], weight [out, in/groups, kh, kw]
 *   ConvTranspose2d    x [B, C, H, W], weight [in, out/groups, kh, kw]
 */
import {
  type ConvolutionOptions,
  type ConvolutionTransposeOptions,
  fail,
  formatShape,
  type PerAxis,
  type Tensor,
  Variable,
} from "../tensor/index.js";
import { uniform } from "./initial.js";
import { Weighted } from "./parametrization.js";
import { at } from "./where.js";

export interface ConvLayerOptions extends ConvolutionOptions {
  /** Add b [out] (default true). */
  readonly bias?: boolean;
}

export interface ConvTransposeLayerOptions extends ConvolutionTransposeOptions {
  readonly bias?: boolean;
}

abstract class Convolution<Options extends ConvLayerOptions> extends Weighted {
  override readonly weight: Variable;
  readonly bias: Variable | undefined; // [out]
  readonly geometry: Omit<Options, "bias">;

  protected constructor(
    readonly inputs: number,
    readonly outputs: number,
    kernel: PerAxis,
    { bias = true, ...geometry }: Options,
    private readonly spatial: number,
    isTransposed: boolean,
  ) {
    super();
    const groups = geometry.groups ?? 1;
    for (const [name, n] of Object.entries({ inputs, outputs, groups }))
      if (!Number.isInteger(n) || n < 1)
        fail("argument", `${this.constructor.name}: expected ${name} to be a positive whole number, got ${n}`);
    if (inputs % groups !== 0 || outputs % groups !== 0)
      fail(
        "argument",
        `${this.constructor.name}: ${groups} groups do not divide ${inputs} inputs and ${outputs} outputs`,
      );
    const size = typeof kernel === "number" ? Array.from({ length: spatial }, () => kernel) : [...kernel];
    if (size.length !== spatial || size.some((n) => !Number.isInteger(n) || n < 1))
      fail(
        "argument",
        `${this.constructor.name}: expected a kernel of ${spatial} positive whole numbers, got ${formatShape(size)}`,
      );
    const shape = isTransposed ? [inputs, outputs / groups, ...size] : [outputs, inputs / groups, ...size];
    const fanIn = shape.slice(1).reduce((a, b) => a * b);
    this.weight = new Variable(uniform(shape, 1 / Math.sqrt(fanIn)));
    this.bias = bias ? new Variable(uniform([outputs], 1 / Math.sqrt(fanIn))) : undefined;
    this.geometry = geometry;
  }

  override forward(x: Tensor): Tensor {
    if (x.rank !== this.spatial + 2 || x.dim(1) !== this.inputs)
      fail(
        "shape",
        `${at(this.constructor.name)}: expected [batch, ${this.inputs}, ${["height", "width"].slice(2 - this.spatial).join(", ")}], got ${formatShape(x.shape)}; channels come first`,
      );
    const y = this.convolve(x, this.used());
    return this.bias
      ? y.add(this.bias.reshape([1, this.bias.size, ...Array.from({ length: this.spatial }, () => 1)]))
      : y;
  }

  protected abstract convolve(x: Tensor, weight: Tensor): Tensor;
}

export class Conv1d extends Convolution<ConvLayerOptions> {
  /** Throws for sizes that are no positive whole numbers, and groups that do not divide the channels. */
  constructor(inputs: number, outputs: number, kernel: PerAxis, options: ConvLayerOptions = {}) {
    super(inputs, outputs, kernel, options, 1, false);
  }

  protected override convolve(x: Tensor, weight: Tensor): Tensor {
    return x.conv1d(weight, this.geometry);
  }
}

export class Conv2d extends Convolution<ConvLayerOptions> {
  /** Throws for sizes that are no positive whole numbers, and groups that do not divide the channels. */
  constructor(inputs: number, outputs: number, kernel: PerAxis, options: ConvLayerOptions = {}) {
    super(inputs, outputs, kernel, options, 2, false);
  }

  protected override convolve(x: Tensor, weight: Tensor): Tensor {
    return x.conv2d(weight, this.geometry);
  }
}

export class ConvTranspose2d extends Convolution<ConvTransposeLayerOptions> {
  override readonly outputAxis = 1;

  constructor(inputs: number, outputs: number, kernel: PerAxis, options: ConvTransposeLayerOptions = {}) {
    super(inputs, outputs, kernel, options, 2, true);
  }

  protected override convolve(x: Tensor, weight: Tensor): Tensor {
    return x.convTranspose2d(weight, this.geometry);
  }
}
