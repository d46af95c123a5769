import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { fail, LayerwiseError } from "../tensor/errors.js";

/** A configuration is a page of text; more than this is a mistake or an attack. */
const maxCharacters = 200_000;
const maxDepth = 32;

/**
 * YAML -> plain data, strictly: YAML 1.2 core, one document, no duplicate keys, no aliases or merge keys (so no alias
 * bombs), no tags, no `__proto__`, no number that is NaN or infinite, keys that are strings.
 *
 * @throws LayerwiseError "config" naming `where`, line and column.
 */
export function parseStrictYaml(text: string, where: string): unknown {
  if (text.length > maxCharacters)
    fail("config", `${where}: ${text.length} characters; expected at most ${maxCharacters}`);
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, {
      version: "1.2",
      schema: "core",
      merge: false,
      // Both of these take the parser time that grows with the square of the text: keys are compared in `plain`, and
      // of all errors only the first is given its place.
      uniqueKeys: false,
      prettyErrors: false,
      lineCounter: lines,
    });
    const problem = document.errors[0] ?? document.warnings[0];
    if (problem) {
      const { line, col } = lines.linePos(problem.pos[0]);
      fail("config", `${where}: ${problem.message} at line ${line}, column ${col}`);
    }
    return plain(document.contents, new Place(where, lines), 0);
  } catch (error) {
    if (error instanceof LayerwiseError) throw error;
    // Deep nesting ends in the parser's own stack.
    return fail(
      "config",
      `${where}: cannot be read as YAML (${error instanceof Error ? error.message : String(error)})`,
      {
        cause: error,
      },
    );
  }
}

class Place {
  constructor(
    private readonly where: string,
    private readonly lines: LineCounter,
  ) {}

  refuse(node: Node | null, message: string): never {
    const { line, col } = this.lines.linePos(node?.range?.[0] ?? 0);
    return fail("config", `${this.where}, line ${line}, column ${col}: ${message}`);
  }
}

function plain(node: unknown, place: Place, depth: number): unknown {
  if (node === null) return null;
  if (depth > maxDepth) place.refuse(node as Node, `nested deeper than ${maxDepth} levels`);
  if (isAlias(node)) return place.refuse(node, `aliases (*${node.source}) are not allowed; write the value out`);
  if (isScalar(node)) {
    if (typeof node.value === "number" && !Number.isFinite(node.value))
      place.refuse(node, `${node.source ?? node.value} is not a finite number`);
    return node.value;
  }
  if (isSeq(node)) return node.items.map((item) => plain(item, place, depth + 1));
  if (!isMap(node)) return place.refuse(node as Node, "expected a value");
  const result: Record<string, unknown> = {};
  for (const { key, value } of node.items) {
    if (!isScalar(key)) return place.refuse(key as Node, "expected a plain key");
    const name = keyName(key.value, (message) => place.refuse(key, message));
    if (Object.hasOwn(result, name)) place.refuse(key, `the key "${name}" is given twice; expected each once`);
    result[name] = plain(value, place, depth + 1);
  }
  return result;
}

/** @throws what `refuse` throws, for keys that would reach an object's prototype or bring in other maps. */
function keyName(key: unknown, refuse: (message: string) => never): string {
  if (typeof key !== "string") return refuse(`the key ${String(key)} is not text; put it in quotes`);
  if (key === "<<") return refuse('merge keys ("<<") are not allowed; write the values out');
  if (key === "__proto__" || key === "constructor" || key === "prototype")
    return refuse(`the key "${key}" is not allowed`);
  return key;
}

/**
 * Sets `a.b=c` in nested plain data, making the maps on the way; the value is read as YAML (`--set data.path=[a,b]`).
 *
 * @throws LayerwiseError "config" when it is not of this form, or `a` is not a map.
 */
export function applyOverride(data: Record<string, unknown>, override: string): void {
  const split = override.indexOf("=");
  const where = `--set ${override}`;
  if (split < 1) fail("config", `${where}: expected key=value, e.g. --set model.layers=4`);
  const path = override
    .slice(0, split)
    .split(".")
    .map((part) => keyName(part.trim(), (message) => fail("config", `${where}: ${message}`)));
  const last = path.pop() as string;
  let place = data;
  for (const part of path) {
    place[part] ??= {};
    const next = place[part];
    if (typeof next !== "object" || next === null || Array.isArray(next))
      fail("config", `${where}: "${part}" is not a section, so nothing can be set inside it`);
    place = next as Record<string, unknown>;
  }
  place[last] = parseStrictYaml(override.slice(split + 1), where);
}
