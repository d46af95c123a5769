/** What norms with running statistics are in inference: one multiplication and one addition per channel. */
import { NDArray, type Tensor, Variable } from "../../tensor/index.js";
import type { AnyModule } from "../module.js";
import { alongChannels, type ChannelAxis, checkChannels } from "./channels.js";
import { Norm } from "./norm.js";

export interface Affine {
  readonly scale: readonly number[];
  readonly shift: readonly number[];
  /** What has to be done first, where the norm is more than a scale and a shift. */
  readonly rest?: AnyModule;
}

/** A norm that is y = scale · rest(x) + shift per channel in inference; undefined where it is not, as it is set. */
export interface ChannelAffine {
  channelAffine(): Promise<Affine | undefined>;
}

/** The scale and shift of anything that has them. */
export const affineOf = async (norm: unknown): Promise<Affine | undefined> =>
  typeof norm === "object" && norm !== null && "channelAffine" in norm
    ? (norm as ChannelAffine).channelAffine()
    : undefined;

/** Of a norm y = g x / √(moment + ε) + b with a running second moment. */
export async function momentAffine(
  weight: Variable,
  bias: Variable,
  moment: Variable,
  eps: number,
): Promise<{ readonly scale: number[]; readonly shift: number[] }> {
  const [g, b, v] = await Promise.all(
    [weight, bias, moment].map(async (variable) => (await variable.data()).toNumbers()),
  );
  return {
    scale: (v as number[]).map((value, c) => (g?.[c] as number) / Math.sqrt(value + eps)),
    shift: b as number[],
  };
}

/** y = weight · x + bias per channel: what is left of a norm that folds into nothing around it. */
export class ChannelScale extends Norm {
  readonly weight: Variable; // [C]
  readonly bias: Variable; // [C]

  constructor(
    override readonly width: number,
    { scale, shift }: Pick<Affine, "scale" | "shift">,
    override readonly axis: ChannelAxis = -1,
  ) {
    super();
    this.weight = new Variable(NDArray.from([...scale], "float32"));
    this.bias = new Variable(NDArray.from([...shift], "float32"));
  }

  override forward(x: Tensor): Tensor {
    checkChannels("ChannelScale", x, this.width, this.axis);
    const along = (vector: Tensor) => alongChannels(vector, x, this.axis);
    return x.mul(along(this.weight)).add(along(this.bias));
  }
}
