import { fail } from "../../tensor/errors.js";
import type { Draws } from "./draws.js";
import { drawPicture, type Picture } from "./picture.js";

/** Masks are pictures of one channel: 1 is a hole, 0 is valid. */
type Sides = readonly [height: number, width: number];

/** 2 to 4 rectangles with sides of 4 to 13 pixels at 32 x 32, in proportion at other sizes; about a fifth is hole. */
export function rectangleMask([height, width]: Sides, draws: Draws): Picture {
  checkSides(height, width);
  const rectangles = Array.from({ length: draws.whole(2, 4) }, () => {
    const [h, w] = [side(draws, height), side(draws, width)];
    return [draws.whole(0, height - h), draws.whole(0, width - w), h, w] as const;
  });
  return drawPicture(1, height, width, (_, y, x) =>
    Number(rectangles.some(([top, left, h, w]) => y >= top && y < top + h && x >= left && x < left + w)),
  );
}

const side = (draws: Draws, length: number): number =>
  Math.min(length, Math.max(1, Math.round((draws.whole(4, 13) * length) / 32)));

/** A square hole in the middle that covers `ratio` of a picture, to the nearest whole side. */
export function squareMask([height, width]: Sides, ratio: number): Picture {
  checkSides(height, width);
  if (!(ratio >= 0 && ratio <= 1)) fail("argument", `squareMask: ratio ${ratio}; expected 0 to 1`);
  const length = Math.min(height, width, Math.round(Math.sqrt(ratio * height * width)));
  const [top, left] = [Math.floor((height - length) / 2), Math.floor((width - length) / 2)];
  return drawPicture(1, height, width, (_, y, x) =>
    Number(y >= top && y < top + length && x >= left && x < left + length),
  );
}

/**
 * Brush strokes with round joints (Free-Form Image Inpainting with Gated Convolution, 2019): 1 to 4 strokes of 4 to 12
 * points, turning by 2π/5 ± 2π/15 to alternate sides, each stretch about 1/8 of the diagonal long, 1/20 to 1/6 of the
 * shorter side wide.
 */
export function freeFormMask([height, width]: Sides, draws: Draws): Picture {
  checkSides(height, width);
  const data = new Float32Array(height * width);
  const reach = Math.hypot(height, width) / 8;
  for (let stroke = draws.whole(1, 4); stroke > 0; stroke--) {
    const brush = (Math.min(height, width) * draws.uniform(1 / 20, 1 / 6)) / 2;
    let [y, x] = [draws.uniform(0, height), draws.uniform(0, width)];
    for (let points = draws.whole(4, 12), i = 0; i < points; i++) {
      const turn = (2 * Math.PI) / 5 + draws.uniform(-2, 2) * (Math.PI / 15);
      const angle = i % 2 === 0 ? 2 * Math.PI - turn : turn;
      const length = Math.max(0, reach + (reach / 2) * draws.normal());
      const next = [
        Math.min(height, Math.max(0, y + length * Math.sin(angle))),
        Math.min(width, Math.max(0, x + length * Math.cos(angle))),
      ] as const;
      paint(data, width, [y, x], next, brush);
      [y, x] = next;
    }
  }
  return { channels: 1, height, width, data };
}

type Point = readonly [y: number, x: number];

/** Every pixel within `brush` of the stretch from a to b. */
function paint(data: Float32Array, width: number, a: Point, b: Point, brush: number): void {
  const [dy, dx] = [b[0] - a[0], b[1] - a[1]];
  const square = dy * dy + dx * dx || 1;
  for (let i = 0; i < data.length; i++) {
    const [py, px] = [Math.floor(i / width) + 0.5 - a[0], (i % width) + 0.5 - a[1]];
    const t = Math.min(1, Math.max(0, (py * dy + px * dx) / square));
    if (Math.hypot(py - t * dy, px - t * dx) <= brush) data[i] = 1;
  }
}

function checkSides(...sides: readonly number[]): void {
  for (const length of sides)
    if (!Number.isInteger(length) || length < 1)
      fail("argument", `masks: side ${length}; expected a whole number from 1`);
}
