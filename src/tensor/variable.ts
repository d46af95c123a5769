import { isFloat } from "./dtype.js";
import { fail } from "./errors.js";
import { NDArray, type Nested } from "./ndarray.js";
import { formatShape, sameShape } from "./shape.js";
import { makeNode, type Operation, type OutputSpec, Tensor } from "./tensor.js";
import { advance, latest, recordAssignment } from "./trace.js";

/** An array that lives on a backend. `read` brings it to the host; `release` gives its memory back. */
export interface DeviceArray {
  readonly backend: object;
  readonly shape: readonly number[];
  read(): Promise<NDArray>;
  release(): void;
}

const variableOperation: Operation<OutputSpec> = {
  name: "variable",
  infer: (_, { shape, dtype }) => ({ shape, dtype }),
  lower: () => fail("trace", "variable: leaves are bound by the program, not lowered"),
};

export interface VariableOptions {
  readonly name?: string;
  /** Whether gradients and optimisers should see it (default: true for floats). */
  readonly trainable?: boolean;
}

/**
 * A tensor with a current value: parameter, running statistic, optimiser moment, step counter.
 * Inside a compiled function `assign` records an update: reads in the same run see the value from before it, and only
 * `latest` the one after.
 */
export class Variable extends Tensor {
  /** Dotted path in the model; set when the model is first walked. */
  name: string;
  trainable: boolean;
  /** Where the value lives now: on the host, or on the backend that last wrote it. Programs read and swap it. */
  current: NDArray | DeviceArray;
  /** How often it was given a value: whoever keeps something made of it can tell whether that still holds. */
  version = 0;
  /** The buffer the next run may write to (double buffering). */
  spare: DeviceArray | undefined;

  constructor(initial: NDArray | Nested, options: VariableOptions = {}) {
    const value = initial instanceof NDArray ? initial : NDArray.from(initial);
    const spec = { shape: value.shape, dtype: value.dtype };
    const { node } = makeNode(variableOperation as Operation, [], spec, "")[0] as Tensor;
    super(node, 0, value.shape, value.dtype);
    (node.outputs as Tensor[])[0] = this; // so that walking the graph finds the variable, not a bare tensor
    this.name = options.name ?? "";
    this.trainable = options.trainable ?? isFloat(value.dtype);
    this.current = value;
  }

  /** Record `this ← next` for the program being traced. Throws outside one, or when assigned twice. */
  assign(next: Tensor): void {
    if (!sameShape(next.shape, this.shape) || next.dtype !== this.dtype)
      fail(
        "variable",
        `assign: variable "${this.name}" is ${this.dtype}${formatShape(this.shape)}, the new value is ${next.dtype}${formatShape(next.shape)}`,
      );
    recordAssignment(this, next);
  }

  /** What this program has made of it so far. */
  get latest(): Tensor {
    return latest(this);
  }

  /**
   * Record `this ← change(latest)`: for statistics, which every forward pass in a program moves on. A forward pass that is
   * repeated (`recompute`) sees what the first one saw, and moves nothing.
   */
  advance(change: (now: Tensor) => Tensor): void {
    advance(this, change);
  }

  /** Give it a new value from the host, now. */
  set(value: NDArray | Nested): void {
    const array = value instanceof NDArray ? value.cast(this.dtype) : NDArray.from(value, this.dtype);
    if (!sameShape(array.shape, this.shape))
      fail(
        "variable",
        `set: variable "${this.name}" has shape ${formatShape(this.shape)}, the value ${formatShape(array.shape)}`,
      );
    this.release();
    this.current = array;
    this.version++;
  }

  /** The current value, as a copy on the host. */
  override async data(): Promise<NDArray> {
    if (!(this.current instanceof NDArray)) return this.current.read();
    return new NDArray(this.current.data.slice(), this.shape, this.dtype);
  }

  /** Give back device memory (the value is lost unless it is on the host). */
  release(): void {
    if (!(this.current instanceof NDArray)) this.current.release();
    this.spare?.release();
    this.spare = undefined;
  }
}

export const isVariable = (tensor: Tensor): tensor is Variable => tensor instanceof Variable;
