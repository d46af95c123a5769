/**
 * The colour map of heat maps: lightness runs evenly from the background to its opposite (so equal steps look equal,
 * print in grey, and need no colour vision), while the hue turns from yellow over green to blue. Two versions, since
 * small values should recede into the page in light and dark mode alike. Built in OKLCH, so nothing is looked up.
 */
export const colorSteps = 24;

interface Lch {
  readonly lightness: number;
  readonly chroma: number;
  readonly hue: number;
}

function step(mode: "light" | "dark", t: number): Lch {
  const swell = Math.sin(Math.PI * Math.min(1, 0.15 + 0.75 * t));
  return mode === "light"
    ? { lightness: 0.965 - 0.675 * t, chroma: 0.02 + 0.115 * swell, hue: 105 + 165 * t }
    : { lightness: 0.25 + 0.7 * t, chroma: 0.03 + 0.105 * swell, hue: 275 - 170 * t };
}

/** Hex colours of the map from the smallest value to the largest. */
export function colorMap(mode: "light" | "dark"): readonly string[] {
  return Array.from({ length: colorSteps }, (_, i) => toHex(step(mode, i / (colorSteps - 1))));
}

const light = colorMap("light");

/** The colour of a position in 0..1, as a CSS variable with the light value to fall back on. */
export function colorAt(position: number): string {
  const index = Math.min(colorSteps - 1, Math.max(0, Math.floor(position * colorSteps)));
  return `var(--heat-${index}, ${light[index] ?? "gray"})`;
}

export function colorMapCss(mode: "light" | "dark"): string {
  return colorMap(mode)
    .map((color, i) => `--heat-${i}:${color}`)
    .join(";");
}

/** OKLCH to sRGB (Ottosson 2020), chroma reduced until the colour exists. */
function toHex({ lightness, chroma, hue }: Lch): string {
  const angle = (hue * Math.PI) / 180;
  for (let c = chroma; ; c -= 0.005) {
    const rgb = linear(lightness, c * Math.cos(angle), c * Math.sin(angle));
    if (c <= 0 || rgb.every((v) => v >= -0.001 && v <= 1.001)) return `#${rgb.map(byte).join("")}`;
  }
}

function linear(lightness: number, a: number, b: number): readonly number[] {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

function byte(value: number): string {
  const v = Math.min(1, Math.max(0, value));
  const encoded = v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055;
  return Math.round(255 * encoded)
    .toString(16)
    .padStart(2, "0");
}
