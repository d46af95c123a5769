/** Copying a model, and putting things into it by path: what conversions are made of. */
import { fail, type NDArray, structureChanged, Tensor, Variable } from "../tensor/index.js";
import { type AnyModule, Module } from "./module.js";

/** A copy of a model that shares no variable with it; what is shared inside it stays shared. */
export async function clone<M extends AnyModule>(model: M): Promise<M> {
  const variables = [...model.namedVariables().values()];
  const copies = new Map<object, object>();
  for (const variable of variables) {
    const { name, trainable } = variable;
    copies.set(variable, new Variable(await variable.data(), { name, trainable }));
  }
  return copyOf(model, copies) as M;
}

function copyOf(value: unknown, copies: Map<object, object>): unknown {
  if (typeof value !== "object" || value === null) return value;
  const known = copies.get(value);
  if (known) return known;
  const isList = Array.isArray(value);
  if (value instanceof Tensor || !(value instanceof Module || isList || isPlain(value))) return value;
  const copy: object = isList ? [] : Object.create(Object.getPrototypeOf(value) as object);
  copies.set(value, copy);
  for (const [key, field] of Object.entries(value)) (copy as Record<string, unknown>)[key] = copyOf(field, copies);
  return copy;
}

const isPlain = (value: object): boolean => Object.getPrototypeOf(value) === Object.prototype;

/** What stands at a dotted path: a module, a variable, or nothing. */
export const valueAt = (model: AnyModule, path: string): unknown =>
  path.split(".").reduce<unknown>((holder, key) => (holder as Record<string, unknown> | undefined)?.[key], model);

/** Put a module or a variable at a dotted path. Throws where nothing holds it. */
export function putAt(model: AnyModule, path: string, value: AnyModule | Variable): void {
  const parts = path.split(".");
  const holder = parts.length === 1 ? model : valueAt(model, parts.slice(0, -1).join("."));
  if (typeof holder !== "object" || holder === null) fail("argument", `putAt: the model has nothing at "${path}"`);
  (holder as Record<string, unknown>)[parts.at(-1) as string] = value;
  structureChanged();
}

/** Replace the variable at a path by one with the value `change(old value)`. */
export async function changeVariable(
  model: AnyModule,
  path: string,
  change: (value: NDArray) => NDArray,
): Promise<void> {
  const variable = valueAt(model, path);
  if (!(variable instanceof Variable))
    return fail("argument", `changeVariable: the model has no variable at "${path}"`);
  const value = change(await variable.data());
  putAt(model, path, new Variable(value.cast(variable.dtype), { name: path, trainable: variable.trainable }));
}
