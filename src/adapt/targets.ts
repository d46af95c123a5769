/** Which layers an adapter stands on. */

import { closest } from "../nn/closest.js";
import { type AnyModule, Embedding, Linear } from "../nn/index.js";
import { pattern } from "../nn/observe.js";
import { fail } from "../tensor/index.js";

/**
 * "all-linear": every `Linear` but the head. A list: layers whose path is, or ends in, one of the names, as PEFT's
 * `target_modules`. Another text: a path query as in `observe`, e.g. `model.layers.*.self_attn.*`. Or a test of paths.
 */
export type Targets = string | readonly string[] | ((path: string) => boolean);

const head = /(^|\.)(lm_head|classifier|score|head)$/;

/** The chosen layers by path. Throws, naming what there is, where a name matches nothing or what is no `Linear`. */
export function targetLayers(model: AnyModule, targets: Targets): Map<string, Linear> {
  const modules = [...model.namedModules()];
  const linears = modules.filter((entry): entry is [string, Linear] => entry[1] instanceof Linear);
  const matches = matcher(targets);
  for (const [path, module] of modules)
    if (module instanceof Embedding && typeof targets !== "string" && matches(path))
      fail(
        "argument",
        `lora: ${path} is an Embedding; adapters stand on Linear layers, so leave it out of the targets`,
      );
  const names = [...new Set(linears.map(([path]) => lastOf(path)))];
  if (Array.isArray(targets))
    for (const name of targets as readonly string[])
      if (!linears.some(([path]) => endsIn(path, name)))
        fail("argument", `lora: no Linear of the model is named "${name}"${closest(name, names)}`);
  const chosen = new Map(linears.filter(([path]) => matches(path)));
  if (chosen.size === 0)
    fail(
      "argument",
      `lora: the targets ${typeof targets === "string" ? `"${targets}" ` : ""}match no Linear of the model; it has ${names.join(", ") || "none"}`,
    );
  return chosen;
}

function matcher(targets: Targets): (path: string) => boolean {
  if (typeof targets === "function") return targets;
  if (targets === "all-linear") return (path) => !head.test(path);
  if (typeof targets === "string") return pattern(targets);
  return (path) => targets.some((name) => endsIn(path, name));
}

export const lastOf = (path: string): string => path.slice(path.lastIndexOf(".") + 1);
export const endsIn = (path: string, name: string): boolean => path === name || path.endsWith(`.${name}`);

/**
 * The value of the first key that matches the end of a path, as PEFT's `rank_pattern`: a key is a regular expression,
 * tried behind any number of leading parts. Throws for a key that is none.
 */
export function byPattern(path: string, patterns: Readonly<Record<string, number>>, otherwise: number): number {
  for (const [key, value] of Object.entries(patterns))
    if (expression(`(.*\\.)?(${key})$`, key).test(path)) return value;
  return otherwise;
}

/** A regular expression anchored at the start, as Python's `re.match`. */
export function expression(source: string, written: string): RegExp {
  try {
    return new RegExp(`^(?:${source})`);
  } catch (cause) {
    return fail("argument", `lora: ${JSON.stringify(written)} is no regular expression`, { cause });
  }
}
