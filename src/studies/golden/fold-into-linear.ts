/** `fold.W`, `fold.b` behind a norm, and what they become: `fold.W_fused`, `fold.b_fused`, `fold.y` of `eval.x`. */
import { foldNorms, Linear, type Norm, Sequential } from "../../nn/index.js";
import { inference, type NDArray, type Tensor } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import { runOnce } from "./run-once.js";

export async function compareFold(file: GoldenCase, norm: Norm): Promise<void> {
  if (!file.has("fold.W")) return;
  const W = file.take("fold.W");
  const linear = new Linear(W.shape[1] as number, W.shape[0] as number);
  linear.weight.set(W);
  linear.bias?.set(file.take("fold.b"));
  const { model } = await foldNorms(new Sequential(norm, linear));
  const folded = await model.stateDict();
  file.compare("fold.W_fused", folded.get("1.weight") as NDArray);
  file.compare("fold.b_fused", folded.get("1.bias") as NDArray);
  const { y } = await runOnce({ x: file.take("eval.x") }, ({ x }) => ({
    y: inference(() => model.apply(x as Tensor)),
  }));
  file.compare("fold.y", y as NDArray);
}
