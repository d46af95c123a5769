/** Layers one after another, and functions as layers. */
import type { Tensor } from "../tensor/index.js";
import { type AnyModule, Module } from "./module.js";

/** As torch's: layers are named by their position, `downsample.0.weight`. */
export class Sequential extends Module {
  readonly [position: number]: Module;

  constructor(...layers: readonly Module[]) {
    super();
    Object.assign(this, layers);
  }

  get layers(): Module[] {
    return Object.values(this).filter((layer): layer is Module => layer instanceof Module);
  }

  override forward(x: Tensor): Tensor {
    return this.layers.reduce((y, layer) => layer.apply(y), x);
  }

  /** What is applied one after another with nothing between: see `foldNorms`. */
  chains(): readonly (readonly AnyModule[])[] {
    return [this.layers];
  }
}

/** A function without parameters as a layer: `new Lambda((x) => x.relu())`. */
export class Lambda extends Module {
  constructor(readonly body: (x: Tensor) => Tensor) {
    super();
  }

  override forward(x: Tensor): Tensor {
    return this.body(x);
  }
}

export class Identity extends Module {
  override forward(x: Tensor): Tensor {
    return x;
  }
}
