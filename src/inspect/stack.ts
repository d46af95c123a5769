/** What the diagnostics need of a model: a stack of residual blocks on one stream. `nn.gpt` is one. */
import type { AnyModule, Module } from "../nn/index.js";
import { fail, type NDArray, type Tensor } from "../tensor/index.js";

export interface ResidualStack extends AnyModule {
  readonly model: {
    readonly layers: readonly Module<[Tensor, ...never[]]>[];
    /** The norm before the head. */
    readonly norm?: Module | undefined;
  };
  /** The stream before the first block and after each; all before the final norm. */
  hiddenStates(tokens: Tensor): Tensor[];
  /** Outputs (logits) from the stream after the last block. */
  readout(stream: Tensor): Tensor;
}

export interface Batch {
  /** int32 [batch, tokens] */
  readonly tokens: NDArray;
  /** Next tokens, int32 [batch, tokens]; -100 where there is none. */
  readonly targets: NDArray;
}

/** Throws where a batch is empty or has no tokens. */
export function checkBatch(name: string, { tokens, targets }: Batch): void {
  if (tokens.shape.length !== 2 || tokens.size === 0)
    fail(
      "shape",
      `${name}: expected a batch of tokens [batch, length] that is not empty, got [${tokens.shape.join(", ")}]`,
    );
  if (targets.shape.join() !== tokens.shape.join())
    fail(
      "shape",
      `${name}: targets [${targets.shape.join(", ")}] must have the shape of tokens [${tokens.shape.join(", ")}]`,
    );
}

/** Programs of a model, made once: diagnostics are asked again and again while it trains. */
export function remember<Key extends object, Value>(make: (key: Key) => Value): (key: Key) => Value {
  const known = new WeakMap<Key, Value>();
  return (key) => {
    const value = known.get(key) ?? make(key);
    known.set(key, value);
    return value;
  };
}
