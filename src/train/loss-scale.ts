/**
 * Dynamic scaling of the loss (Mixed Precision Training, 2018): gradients too small for float16 would vanish, so the loss is
 * multiplied by a scale and the gradients are divided by it. A scale that makes them overflow is halved and the update left
 * out; after 2000 updates without one it is doubled. Starts at 65536, as torch's GradScaler.
 */
import { grad, NDArray, type Tensor, Variable } from "../tensor/index.js";

const interval = 2000;
const largest = 2 ** 24;

export interface SavedScale {
  readonly scale: number;
  readonly since: number;
}

export class LossScale {
  readonly #scale = new Variable(NDArray.from(65536), { name: "loss scale", trainable: false });
  #value = 65536;
  /** Updates since it was last changed. */
  #since = 0;

  get value(): number {
    return this.#value;
  }

  gradients(loss: Tensor, parameters: readonly Variable[]): Tensor[] {
    const back = this.#scale.reciprocal();
    return grad(loss.mul(this.#scale), parameters).map((g) => g.mul(back));
  }

  /** After an update that took place. */
  succeeded(): void {
    if (++this.#since < interval || this.#value >= largest) return;
    this.#set(this.#value * 2);
  }

  /** After gradients that were not finite; false where the scale is not to blame: at 1 there is none. */
  overflowed(): boolean {
    if (this.#value <= 1) return false;
    this.#set(this.#value / 2);
    return true;
  }

  get saved(): SavedScale {
    return { scale: this.#value, since: this.#since };
  }

  restore({ scale, since }: SavedScale): void {
    this.#set(scale);
    this.#since = since;
  }

  #set(value: number): void {
    this.#value = value;
    this.#since = 0;
    this.#scale.set(value);
  }
}
