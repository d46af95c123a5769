/** Masks of holes: [batch, 1, height, width], 1 where a pixel is in a hole and 0 where it is valid. */
import { fail, formatShape, type NDArray, stopGradient, type Tensor } from "../tensor/index.js";
import { at } from "./where.js";

/**
 * The mask in x's height, width and dtype, by the nearest pixel (row ⌊i H_mask / H⌋; a small hole may vanish): 1 where it is
 * above 0, else 0, so a soft mask is hardened here and never weighs. A constant to derivatives. x: [B, C, H, W]. Throws for a
 * mask of another batch or of more than one channel.
 */
export function holesOf(name: string, mask: Tensor, x: Tensor): Tensor {
  if (mask.rank !== 4 || mask.dim(0) !== x.dim(0) || mask.dim(1) !== 1)
    fail(
      "shape",
      `${at(name)}: expected a mask [${x.dim(0)}, 1, height, width] (1 = hole) for features ${formatShape(x.shape)}, got ${formatShape(mask.shape)}`,
    );
  const hard = mask.dtype === "bool" ? mask : mask.greater(0);
  return stopGradient(hard.cast(x.dtype)).resize({ size: [x.dim(2), x.dim(3)] });
}

/** The same mask. Throws where it is not [B, 1, H, W] or holds anything but 0 and 1, naming the place. */
export function checkHoles(mask: NDArray): NDArray {
  const [batch = 0, channels, height = 0, width = 0] = mask.shape;
  if (mask.shape.length !== 4 || channels !== 1)
    fail("shape", `checkHoles: expected [batch, 1, height, width], got ${formatShape(mask.shape)}`);
  for (let i = 0; i < batch * height * width; i++) {
    const value = mask.at(i);
    if (value === 0 || value === 1) continue;
    const [sample, row, column] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width];
    fail(
      "argument",
      `checkHoles: expected 0 (valid) or 1 (hole), got ${value} in sample ${sample} at row ${row}, column ${column}; threshold the mask first`,
    );
  }
  return mask;
}
