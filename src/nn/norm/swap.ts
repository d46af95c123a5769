/** Another norm in the place of every norm, by one value. */
import { fail } from "../../tensor/errors.js";
import { type AnyModule, rewrite } from "../module.js";
import { pattern } from "../observe.js";
import { type NormOption, normFactory } from "./index.js";
import { bare, Norm } from "./norm.js";

/**
 * Put a fresh norm of the same width in the place of every norm whose path matches (default: all). Changes the model; the
 * function changes, too: new norms start with gain 1 and bias 0. Throws where none matches.
 */
export function swapNorms<M extends AnyModule>(model: M, norm: NormOption, query = "**"): M {
  const make = normFactory(norm);
  const matches = pattern(query);
  let count = 0;
  const changed = rewrite(model, (module, path) => {
    const old: unknown = module;
    if (!(old instanceof Norm) || old.width === undefined || !matches(path)) return undefined;
    const made = make(old.width, old.axis, count++);
    return old.bare ? bare(made) : made;
  });
  if (count === 0) fail("argument", `swapNorms: no norm of one width matches "${query}"`);
  return changed;
}
