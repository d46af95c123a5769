import type { Draws } from "./draws.js";

/**
 * Clouds [side, side] from 0 to 1 by the diamond-square algorithm on a torus; `side` is a power of two. The amplitude
 * is divided by `decay` at each halving (Computer Rendering of Stochastic Models; Fournier, Fussell, Carpenter, 1982).
 * Amplitudes are squared as those of the common corruptions are.
 */
export function plasma(side: number, decay: number, draws: Draws): Float64Array {
  const map = new Float64Array(side * side);
  const place = (y: number, x: number): number => ((y + side) % side) * side + ((x + side) % side);
  let wibble = 100;
  for (let step = side; step >= 2; step /= 2, wibble /= decay) {
    const half = step / 2;
    // Each pass reads only points that earlier ones have set.
    const fill = (top: number, left: number, offsets: readonly (readonly [number, number])[]): void => {
      for (let y = top; y < side; y += step)
        for (let x = left; x < side; x += step) {
          const sum = offsets.reduce(
            (total, [dy, dx]) => total + (map[place(y + dy * half, x + dx * half)] as number),
            0,
          );
          map[place(y, x)] = sum / 4 + wibble * draws.uniform(-wibble, wibble);
        }
    };
    const corners = [
      [-1, -1],
      [-1, 1],
      [1, -1],
      [1, 1],
    ] as const;
    const sides = [
      [-1, 0],
      [1, 0],
      [0, -1],
      [0, 1],
    ] as const;
    fill(half, half, corners);
    fill(0, half, sides);
    fill(half, 0, sides);
  }
  const [low, high] = map.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)] as [number, number], [
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ] as [number, number]);
  return map.map((x) => (x - low) / (high - low || 1));
}
