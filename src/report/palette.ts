/**
 * Colours of subjects (placements, norms, methods). Chosen by search so that the named ones stay apart, at least 9 in
 * OKLab × 100, for normal, protan and deutan vision on either background, with a contrast of 3 or more against it.
 * Figures name their curves directly as well, so colour is never the only sign.
 */
interface Color {
  readonly light: string;
  readonly dark: string;
}

const named: Readonly<Record<string, Color>> = {
  pre: { light: "#4a63ea", dark: "#4a8fff" },
  post: { light: "#cb2a06", dark: "#f0532a" },
  peri: { light: "#04756a", dark: "#35e0a8" },
  mix: { light: "#7835a5", dark: "#b673b8" },
  lns: { light: "#b98700", dark: "#e0b52c" },
  output: { light: "#0a9dba", dark: "#7cc4f2" },
};

const spare: readonly Color[] = [
  { light: "#98283a", dark: "#f08a9b" },
  { light: "#6f9566", dark: "#b9dd6a" },
  ...Object.values(named),
];

/** Other names of the same thing: a placement's `kind`, where that is not its short name. */
const aliases: Readonly<Record<string, string>> = { "layer-norm-scaling": "lns" };

/** Gives each key its colour, as a CSS variable with the light value to fall back on when an SVG stands alone. */
export type Palette = (key: string) => string;

/** A palette for all keys of a report, in order of appearance: unnamed keys take spare colours, then reuse. */
export function createPalette(keys: Iterable<string> = []): Palette {
  const slots = new Map<string, string>();
  const unnamed: string[] = [];
  for (const key of keys)
    if (!Object.hasOwn(named, key) && !Object.hasOwn(aliases, key) && !unnamed.includes(key)) unnamed.push(key);
  for (const key of Object.keys(named)) slots.set(key, variable(key, named[key]));
  for (const [i, key] of unnamed.entries())
    slots.set(key, variable(`spare-${i % spare.length}`, spare[i % spare.length]));
  for (const [alias, key] of Object.entries(aliases)) slots.set(alias, slots.get(key) ?? "");
  return (key) => slots.get(key) ?? variable("spare-0", spare[0]);
}

const variable = (name: string, color: Color | undefined): string => `var(--series-${name}, ${color?.light ?? "gray"})`;

/** The palette's variables as CSS declarations, for one of the two modes. */
export function paletteCss(mode: keyof Color): string {
  const entries = [...Object.entries(named), ...spare.map((color, i) => [`spare-${i}`, color] as const)];
  return entries.map(([name, color]) => `--series-${name}:${color[mode]}`).join(";");
}
