/** Layers without parameters for images [B, C, H, W], named as torch's. */
import { fail, formatShape, type Tensor } from "../tensor/index.js";
import { Module } from "./module.js";
import { at } from "./where.js";

/** Mirrors `amount` pixels at every side, the edge not twice. Throws for a map that is not larger than that. */
export class ReflectionPad2d extends Module {
  constructor(readonly amount: number) {
    super();
  }

  override forward(x: Tensor): Tensor {
    const { amount } = this;
    if (x.rank !== 4 || x.dim(2) <= amount || x.dim(3) <= amount)
      fail(
        "shape",
        `${at("ReflectionPad2d")}: reflecting ${amount} pixels needs [batch, channels, height, width] with sides above ${amount}, got ${formatShape(x.shape)}; use larger images`,
      );
    const pair = [amount, amount] as const;
    return x.pad([pair, pair], { mode: "reflect" });
  }
}

/**
 * [B, C r², H, W] → [B, C, H r, W r]: r² channels become a square of r × r pixels. Throws where r² does not divide them.
 * Source: "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", 2016.
 */
export class PixelShuffle extends Module {
  constructor(readonly factor: number) {
    super();
  }

  override forward(x: Tensor): Tensor {
    const r = this.factor;
    if (x.rank !== 4 || x.dim(1) % r ** 2 !== 0)
      fail(
        "shape",
        `${at("PixelShuffle")}: expected [batch, a multiple of ${r ** 2}, height, width], got ${formatShape(x.shape)}`,
      );
    const [B, C, H, W] = [x.dim(0), x.dim(1) / r ** 2, x.dim(2), x.dim(3)];
    return x
      .reshape([B, C, r, r, H, W])
      .transpose([0, 1, 4, 2, 5, 3])
      .reshape([B, C, H * r, W * r]);
  }
}

export class ReLU extends Module {
  override forward(x: Tensor): Tensor {
    return x.relu();
  }
}

/** x where it is positive, else `slope` x (default 0.01). */
export class LeakyReLU extends Module {
  constructor(readonly slope = 0.01) {
    super();
    if (!(slope >= 0 && slope <= 1)) fail("argument", `LeakyReLU: expected a slope from 0 to 1, got ${slope}`);
  }

  override forward(x: Tensor): Tensor {
    return x.maximum(x.mul(this.slope));
  }
}
