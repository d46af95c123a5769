/**
 * Dropout: in training, each element is set to 0 with probability p and the rest divided by 1 − p, so that the expected
 * value stays; in inference, the identity. Source: "Dropout: A Simple Way to Prevent Neural Networks from
 * Overfitting", 2014.
 */
import { fail, isTraining, random, type Tensor } from "../tensor/index.js";
import { Module } from "./module.js";

/** Throws for p outside [0, 1). */
export function dropout(x: Tensor, p: number): Tensor {
  checkRate(p);
  if (p === 0 || !isTraining()) return x;
  const kept = random.bernoulli(x.shape, { p: 1 - p }); // 0 or 1, float32
  return x.mul(kept.mul(1 / (1 - p)).cast(x.dtype));
}

export class Dropout extends Module {
  constructor(readonly p: number) {
    super();
    checkRate(p);
  }

  override forward(x: Tensor): Tensor {
    return dropout(x, this.p);
  }
}

function checkRate(p: number): void {
  if (!(p >= 0 && p < 1)) fail("argument", `dropout: expected a probability in [0, 1), got ${p}`);
}
