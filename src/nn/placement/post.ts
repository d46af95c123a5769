/**
 * Post-LN: the norm stands on the stream, after the addition; the shortcut itself is normalised.
 *
 *   y = Norm(x + Module(x))
 *
 * The name `post_attention_layernorm` is a Pre-LN block's second norm too, at another place: names mean nothing
 * without the placement. Needs a warm-up of the learning rate. Source: "Attention Is All You Need", 2017.
 */
import type { Placement } from "./placement.js";

export const post = (): Placement => ({
  kind: "post",
  attention: { stream: "post_attention_layernorm" },
  mlp: { stream: "post_feedforward_layernorm" },
});
