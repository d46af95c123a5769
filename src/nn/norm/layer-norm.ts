/**
 * Layer normalisation, over the last k axes of each case (H elements), the same in training and inference:
 *
 *   μ = mean(a);   σ² = mean((a − μ)²);   y = g · (a − μ) / √(σ² + ε) + b
 *
 * The variance is the population's, found in two passes (mean first: E[a²] − μ² loses all digits when |μ| ≫ σ), in
 * float32 also for float16. ε = 1e-5 stands inside the root, as in the authors' code. A constant case gives y = b, but
 * there the gradient to a is (g·dy − mean(g·dy)) / √ε: 316 times amplified, which a learned initial state will feel.
 *
 * Source: "Layer Normalization", 2016.
 */
import { fail, formatShape, NDArray, type Tensor, Variable } from "../../tensor/index.js";
import { filled } from "../initial.js";
import { at } from "../where.js";
import { type ChannelAxis, overChannels } from "./channels.js";
import { checkEpsilon } from "./epsilon.js";
import { Norm } from "./norm.js";

export interface LayerNormOptions {
  /** ε, added to the variance (default 1e-5). */
  readonly eps?: number;
  /** Learn a gain g, first 1 (default true); without it there is no bias either. */
  readonly affine?: boolean;
  /** Learn a bias b, first 0 (default: as `affine`). */
  readonly bias?: boolean;
  /** Where the channels are (default −1): 1 normalises [batch, C, height, width] over C at every place. */
  readonly axis?: ChannelAxis;
}

export class LayerNorm extends Norm {
  readonly normalizedShape: readonly number[];
  readonly eps: number;
  readonly weight: Variable | undefined; // normalizedShape
  readonly bias: Variable | undefined; // normalizedShape
  override readonly axis: ChannelAxis;

  /**
   * `normalizedShape`: the trailing axes to normalise over, e.g. 384 or [3, 32, 32].
   * Throws for an empty shape, a single element (its output would always be b), or an ε that is not positive.
   */
  constructor(
    normalizedShape: number | readonly number[],
    { eps = 1e-5, affine = true, bias = affine, axis = -1 }: LayerNormOptions = {},
  ) {
    super();
    const shape = typeof normalizedShape === "number" ? [normalizedShape] : [...normalizedShape];
    checkShape(shape);
    if (bias && !affine) fail("argument", "LayerNorm: bias: true needs affine: true; leave one of the two out");
    if (axis === 1 && shape.length > 1)
      fail("argument", `LayerNorm: axis 1 is for one axis of channels, got normalizedShape ${formatShape(shape)}`);
    this.normalizedShape = shape;
    this.axis = axis;
    this.eps = checkEpsilon("LayerNorm", eps);
    this.weight = affine ? new Variable(filled(shape, 1)) : undefined;
    this.bias = bias ? new Variable(NDArray.zeros(shape)) : undefined;
  }

  get width(): number | undefined {
    return this.normalizedShape.length === 1 ? this.normalizedShape[0] : undefined;
  }

  override forward(a: Tensor): Tensor {
    return overChannels(a, this.axis, (channelsLast) => this.normalize(channelsLast));
  }

  private normalize(a: Tensor): Tensor {
    const k = this.normalizedShape.length;
    if (!this.normalizedShape.every((n, i) => n === a.shape[a.rank - k + i]))
      fail(
        "shape",
        `${at("LayerNorm")}: expected the last ${k === 1 ? "axis" : `${k} axes`} to be ${formatShape(this.normalizedShape)}, got ${formatShape(a.shape)}; was the model built with width ${this.normalizedShape.at(-1)}?`,
      );
    return a.layerNorm({ axes: k, weight: this.weight, bias: this.bias, eps: this.eps });
  }
}

function checkShape(shape: readonly number[]): void {
  if (shape.length === 0) fail("shape", "LayerNorm: normalizedShape is empty; give the trailing axes, e.g. 384");
  if (shape.some((n) => !Number.isInteger(n) || n < 1))
    fail("shape", `LayerNorm: expected positive whole axes, got normalizedShape ${formatShape(shape)}`);
  if (shape.every((n) => n === 1))
    fail(
      "shape",
      `LayerNorm over ${formatShape(shape)}: one element minus its own mean is always 0; normalise over more features or remove the norm`,
    );
}

export const layerNorm = (normalizedShape: number | readonly number[], options?: LayerNormOptions): LayerNorm =>
  new LayerNorm(normalizedShape, options);
