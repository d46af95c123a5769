/** The reconstruction loss of inpainting. */
import { holesOf } from "../nn/index.js";
import type { Tensor } from "../tensor/index.js";

/**
 * mean |gt − merged| / mean(M), merged = pred M + gt (1 − M): the mean absolute error in the hole. gt and pred [B, C, H, W],
 * mask [B, 1, H, W] with 1 in the hole; 0 where there is no hole. Source: "Region Normalization for Image Inpainting", 2019.
 */
export function holeL1(gt: Tensor, pred: Tensor, mask: Tensor): Tensor {
  const M = holesOf("holeL1", mask, gt);
  const share = M.mean();
  return gt
    .sub(pred)
    .mul(M)
    .abs()
    .mean()
    .div(share.add(share.equal(0).cast(share.dtype)));
}
