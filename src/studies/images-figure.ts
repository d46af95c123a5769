/** Tensors as pictures in a report. */
import { encode } from "fast-png";
import { fail, formatShape, type NDArray } from "../tensor/index.js";
import type { ImagesFigure, Picture } from "./study-report.js";

export interface ImagesFigureOptions {
  readonly title: string;
  readonly caption: string;
  /** What each place in a row shows, if the places mean something. */
  readonly columns?: readonly string[];
  /** Images [C, H, W] with 1 or 3 channels, or [H, W]; 0 is black, 1 white, values beyond are cut off. */
  readonly rows: readonly { readonly name: string; readonly images: readonly NDArray[] }[];
}

/** Rows of images as a figure. Throws for an image of another shape. */
export const imagesFigure = ({ rows, ...text }: ImagesFigureOptions): ImagesFigure => ({
  kind: "images",
  ...text,
  rows: rows.map(({ name, images }) => ({ name, images: images.map(picture) })),
});

function picture(image: NDArray): Picture {
  const [channels, height, width] = image.shape.length === 2 ? [1, ...image.shape] : image.shape;
  if ((channels !== 1 && channels !== 3) || !height || !width)
    return fail("shape", `a picture is [1 or 3, height, width] or [height, width], got ${formatShape(image.shape)}`);
  const area = height * width;
  const data = new Uint8Array(area * channels);
  for (let c = 0; c < channels; c++)
    for (let i = 0; i < area; i++)
      data[i * channels + c] = Math.round(255 * Math.min(1, Math.max(0, image.at(c * area + i))));
  const png = encode({ width, height, data, channels, depth: 8 });
  return { source: `data:image/png;base64,${Buffer.from(png).toString("base64")}`, width, height };
}
