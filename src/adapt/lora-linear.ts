import { dropout, Linear, uninitialized } from "../nn/index.js";
import { linear, NDArray, philoxUniform, type Tensor, Variable } from "../tensor/index.js";

/** What one adapter is on one layer. */
export interface LoraSettings {
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  readonly rslora: boolean;
}

/** What B A is multiplied by: α / r, or α / √r (A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA, 2023). */
export const scaleOf = ({ rank, alpha, rslora }: LoraSettings): number => alpha / (rslora ? Math.sqrt(rank) : rank);

/**
 * A dense layer with adapters beside its weight: y = x Wᵀ + b + Σ aₙ sₙ (dropout(x) Aₙᵀ) Bₙᵀ, with A [r, in], B [out, r]
 * and aₙ a variable, 1 where the adapter is in use and 0 where it is not. W and b keep their paths, so checkpoints of the
 * base fit. Made by `lora`.
 */
export class LoraLinear extends Linear {
  readonly lora_A: Record<string, { readonly weight: Variable }> = {};
  readonly lora_B: Record<string, { readonly weight: Variable }> = {};
  /** aₙ, one variable for all layers of an adapter. */
  readonly lora_active: Record<string, Variable> = {};
  readonly settings: Record<string, LoraSettings> = {};
  /** Adapters that W holds now, and whether they were being trained before. */
  merged: Readonly<Record<string, boolean>> = {};

  constructor(base: Linear) {
    super(1, 1, { bias: false }); // replaced at once
    const { weight, bias, zeroMeanOutput } = base;
    Object.assign(this, { weight, bias, zeroMeanOutput });
  }

  get adapters(): string[] {
    return Object.keys(this.lora_A);
  }

  /** A ~ U(±1/√in), Kaiming's with a = √5, and B = 0: the layer's function stays as it is. `site` seeds A. */
  add(name: string, settings: LoraSettings, active: Variable, { seed, site }: { seed: number; site: string }): void {
    const { dtype } = this.weight;
    const bound = 1 / Math.sqrt(this.inputs);
    const drawn = philoxUniform({ seed, site }, settings.rank * this.inputs).map((u) => (2 * u - 1) * bound);
    const A = new NDArray(drawn, [settings.rank, this.inputs], "float32");
    this.lora_A[name] = { weight: new Variable(A.cast(dtype)) };
    this.lora_B[name] = { weight: new Variable(NDArray.zeros([this.outputs, settings.rank], dtype)) };
    this.lora_active[name] = active;
    this.settings[name] = settings;
  }

  delete(name: string): void {
    for (const record of [this.lora_A, this.lora_B, this.lora_active, this.settings]) delete record[name];
  }

  override forward(x: Tensor): Tensor {
    return this.adapters.reduce((y, name) => y.add(this.branch(name, x)), super.forward(x));
  }

  /** s B A [out, in]: what merging adds to W. */
  delta(name: string): Tensor {
    const { A, B, scale } = this.parts(name);
    return B.matmul(A).mul(scale);
  }

  variables(name: string): Variable[] {
    const { A, B } = this.parts(name);
    return [A, B];
  }

  private branch(name: string, x: Tensor): Tensor {
    const { A, B, scale, rate } = this.parts(name);
    // An adapter that is not being trained needs no noise; the masks would be drawn even where it is not in use.
    const h = linear(A.trainable ? dropout(x, rate) : x, A);
    const y = linear(h.mul((this.lora_active[name] as Variable).mul(scale).cast(x.dtype)), B);
    return this.zeroMeanOutput ? y.sub(y.mean(-1, { keepDims: true })) : y;
  }

  private parts(name: string) {
    const settings = this.settings[name] as LoraSettings;
    const [A, B] = [this.lora_A[name]?.weight as Variable, this.lora_B[name]?.weight as Variable];
    return { A, B, scale: scaleOf(settings), rate: settings.dropout };
  }
}

/** The layer without adapters: the same W and b. */
export function plainLinear({ weight, bias, zeroMeanOutput }: LoraLinear): Linear {
  const plain = uninitialized(() => new Linear(1, 1, { bias: false }));
  return Object.assign(plain, { weight, bias, zeroMeanOutput });
}
