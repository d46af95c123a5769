/**
 * The logit lens: what the model would say next if it stopped after a layer. The stream after each block goes through the
 * final norm and the head, as if it were the last.
 *
 *   p_l = softmax(head(Norm(h_l))),   l = 0..L; l = 0 is the embedding
 *
 * Source: "interpreting GPT: the logit lens", 2020; "Eliciting Latent Predictions from Transformers with the Tuned Lens",
 * 2023, compares with it.
 */
import { type CompileOptions, compile } from "../runtime/index.js";
import { fail, type NDArray, stack, type Tensor } from "../tensor/index.js";
import type { ResidualStack } from "./stack.js";

export interface LogitLens {
  /** The likeliest next token, int32 [L + 1, batch, tokens]. */
  readonly token: NDArray;
  /** How likely it is, float32 of the same shape. */
  readonly probability: NDArray;
}

/** Throws for an empty batch. */
export async function logitLens(
  model: ResidualStack,
  tokens: NDArray,
  options: CompileOptions = {},
): Promise<LogitLens> {
  if (tokens.size === 0) fail("shape", `logitLens: the batch [${tokens.shape.join(", ")}] is empty`);
  const program = compile(({ tokens: ids }: { tokens: Tensor }) => {
    const layers = model.hiddenStates(ids).map((state) => model.readout(state).softmax(-1)); // [batch, tokens, vocabulary]
    return { token: stack(layers.map((p) => p.argmax(-1))), probability: stack(layers.map((p) => p.max(-1))) };
  }, options);
  try {
    const { token, probability } = await program({ tokens });
    return { token, probability };
  } finally {
    await program.release();
  }
}
