/** Turning the observers of a trace into extra outputs. */

import { fail, type Node, reachable, type Tensor, type Trace, withPath } from "../tensor/index.js";

/** Name → statistic, for every observed point and operation that the program has. */
export function observedTensors(trace: Trace, outputs: Iterable<Tensor>): Map<string, Tensor> {
  if (trace.observers.size === 0) return new Map();
  const points = new Map(trace.points);
  for (const [name, tensor] of operationPoints(reachable([...outputs, ...trace.assignments.values()])))
    points.set(name, tensor);
  const found = new Map<string, Tensor>();
  for (const { query, matches, statistic } of trace.observers) {
    const names = [...points.keys()].filter(matches);
    if (names.length === 0)
      fail("argument", `observe: nothing matches "${query}"; points are named like ${examples(points)}`);
    for (const name of names) {
      const result = withPath(name, () => statistic(points.get(name) as Tensor, name));
      let key = name;
      for (let i = 1; found.has(key); i++) key = `${name}|${i}`;
      found.set(key, result);
    }
  }
  return found;
}

/** Operations inside modules as `path/name`, the second of a name as `path/name#1`. */
export function* operationPoints(nodes: readonly Node[]): Generator<readonly [string, Tensor]> {
  const counts = new Map<string, number>();
  for (const { path, operation, outputs } of nodes) {
    if (path === "") continue;
    const name = `${path}/${operation.name}`;
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    yield [count === 0 ? name : `${name}#${count}`, outputs[0] as Tensor];
  }
}

const examples = (points: ReadonlyMap<string, Tensor>): string =>
  [...points.keys()]
    .filter((name) => name.includes(":"))
    .slice(0, 4)
    .map((name) => `"${name}"`)
    .join(", ");
