/**
 * Looking inside a model without touching it. A query names what can be seen:
 *
 *   model.layers.3.mlp:out     what a module returns (":out" may be left away), ":in" what it gets
 *   model.layers.3.mlp:grad    the gradient of what it returns; of a variable: `….weight:grad`
 *   model.layers.*.self_attn   `*` is one part of a path, `**` any number of them
 *   **.self_attn/softmax       an operation inside a module
 *   blocks.3.hook_resid_pre    the names users of TransformerLens know
 */
import { fail, type Observer, structureChanged, type Tensor } from "../tensor/index.js";

const observers = new WeakMap<object, Set<Observer>>();

export const observersOf = (model: object): Iterable<Observer> => observers.get(model) ?? [];

export interface Observation {
  /** Take the extra outputs out of programs again. */
  stop(): void;
}

/**
 * Every program that applies `model` from now on also returns `statistic(tensor, name)` for each point that matches, in
 * `result.observed` under the point's name. Several statistics of one point: observe it several times with `label`s.
 * A query that matches nothing is an error when the program is traced.
 */
export function observe(
  model: object,
  query: string,
  statistic: (tensor: Tensor, name: string) => Tensor = (tensor) => tensor,
): Observation {
  const resolved = withoutAliases(query);
  const observer: Observer = { query, matches: pattern(resolved), statistic };
  const all = observers.get(model) ?? new Set();
  all.add(observer);
  observers.set(model, all);
  structureChanged();
  return {
    stop() {
      all.delete(observer);
      structureChanged();
    },
  };
}

/** A path query as a test of names. */
export function pattern(query: string): (name: string) => boolean {
  if (query.trim() === "")
    fail("argument", 'query: expected a path such as "model.layers.*.mlp:out", got an empty string');
  const source = query
    .replace(/[$()+?[\\\]^{|}]/g, "\\$&")
    .replaceAll(".", "\\.")
    .replaceAll("**\\.", "\u0001")
    .replaceAll("**", "\u0002")
    .replaceAll("*", "[^.:/]+")
    .replaceAll("\u0001", "(?:.+\\.)?")
    .replaceAll("\u0002", ".*");
  const full = new RegExp(`^${source}(?:${/[:/][^.]*$/.test(query) ? "" : "(?::out)?"})(?:#\\d+)?$`);
  return (name) => full.test(name);
}

/** What each name of TransformerLens is here, for models that keep the checkpoint names of Llama. */
const aliases: readonly (readonly [RegExp, string])[] = [
  [/^hook_embed$/, "model.embed_tokens:out"],
  [/\.hook_resid_pre$/, ":in"],
  [/\.hook_resid_post$/, ":out"],
  [/\.hook_attn_out$/, ".self_attn:out"],
  [/\.hook_mlp_out$/, ".mlp:out"],
  [/\.attn\.hook_pattern$/, ".self_attn/softmax"],
  [/\.attn\.hook_(q|k|v)$/, ".self_attn.$1_proj:out"],
  [/\.mlp\.hook_pre$/, ".mlp.up_proj:out"],
  [/^ln_final\.hook_normalized$/, "model.norm:out"],
  [/^blocks\./, "model.layers."],
  [/\.attention(?=$|[.:/])/, ".self_attn"],
];

export const withoutAliases = (query: string): string =>
  aliases.reduce((text, [alias, name]) => text.replace(alias, name), query);
