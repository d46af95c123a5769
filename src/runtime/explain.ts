/** Where a program's parameters, arithmetic, memory traffic and time are, by module; and what each node really ran on. */
import { profiling } from "#host";
import { isLeaf } from "../compile/graph.js";
import { encodeModel } from "../compile/lower.js";
import { bytesPerElement, fail, type NDArray, type Node, type Tensor } from "../tensor/index.js";
import { feedsOf } from "./execute.js";
import type { Executable } from "./program.js";

export interface ExplainOptions {
  /** Run it a few times under the engine's profiler: real times and devices (Node only). */
  readonly profile?: boolean;
  /** Rows of the table: modules down to this depth of their path (default 4). */
  readonly depth?: number;
}

export interface ModuleCost {
  /** Dotted path; "" is what belongs to no module: the loss and the optimiser. */
  readonly path: string;
  readonly parameters: number;
  /** Floating-point operations of the forward and the backward pass. */
  readonly forwardFlops: number;
  readonly backwardFlops: number;
  /** Bytes its operations write. */
  readonly bytes: number;
  /** Of the time where it was measured, else of the operations. */
  readonly share: number;
  readonly milliseconds?: number;
  /** What its nodes ran on, where it was measured: "CPU", "WebGpu". */
  readonly devices?: readonly string[];
}

export interface Explanation {
  /** Every module that does something itself, in order of first use. */
  readonly modules: readonly ModuleCost[];
  /** The same by kind of operation. */
  readonly operations: readonly {
    readonly name: string;
    readonly count: number;
    readonly share: number;
    readonly milliseconds?: number;
  }[];
  readonly total: Omit<ModuleCost, "path" | "share">;
  readonly nodes: number;
  /** Nodes that did not run where the program was meant to. */
  readonly warnings: readonly string[];
  /** A table to read, modules as a tree. */
  toString(): string;
}

interface Measured {
  readonly milliseconds: number;
  readonly device: string;
}

export async function explain(
  executable: Executable,
  feeds: Readonly<Record<string, NDArray>> | undefined,
  { profile = false, depth = 4 }: ExplainOptions,
): Promise<Explanation> {
  const measured = profile ? await measure(executable, feeds) : undefined;
  const costs = new Map<string, Mutable>();
  const kinds = new Map<string, { count: number; flops: number; milliseconds: number }>();
  for (const [variable] of executable.variables)
    if (variable.trainable) at(costs, parentOf(variable.name)).parameters += variable.size;
  const times = measured && byNode(executable, measured);
  for (const node of executable.nodes) {
    if (isLeaf(node)) continue;
    const isBackward = node.path.endsWith(":grad");
    const cost = at(costs, node.path.replace(/:(grad|out|in)$/, ""));
    const flops = flopsOf(node);
    if (isBackward) cost.backwardFlops += flops;
    else cost.forwardFlops += flops;
    cost.bytes += node.outputs.reduce((sum, x) => sum + x.size * bytesPerElement(x.dtype), 0);
    const time = times?.get(node);
    const kind = kinds.get(node.operation.name) ?? { count: 0, flops: 0, milliseconds: 0 };
    kinds.set(node.operation.name, {
      count: kind.count + 1,
      flops: kind.flops + flops,
      milliseconds: kind.milliseconds + (time?.milliseconds ?? 0),
    });
    if (!time) continue;
    cost.milliseconds += time.milliseconds;
    for (const device of time.devices) {
      cost.devices.add(device);
      cost.operationsOn.set(device, (cost.operationsOn.get(device) ?? new Set()).add(node.operation.name));
    }
  }
  return explanation(executable, costs, kinds, measured !== undefined, depth);
}

interface Mutable {
  parameters: number;
  forwardFlops: number;
  backwardFlops: number;
  bytes: number;
  milliseconds: number;
  devices: Set<string>;
  operationsOn: Map<string, Set<string>>;
}

function at(costs: Map<string, Mutable>, path: string): Mutable {
  const known = costs.get(path) ?? {
    parameters: 0,
    forwardFlops: 0,
    backwardFlops: 0,
    bytes: 0,
    milliseconds: 0,
    devices: new Set<string>(),
    operationsOn: new Map<string, Set<string>>(),
  };
  costs.set(path, known);
  return known;
}

const parentOf = (path: string): string => path.split(".").slice(0, -1).join(".");
const flopsOf = (node: Node): number =>
  node.operation.flops?.(node) ?? node.outputs.reduce((sum: number, x: Tensor) => sum + x.size, 0);

function explanation(
  { nodes, backend }: Executable,
  costs: ReadonlyMap<string, Mutable>,
  kinds: ReadonlyMap<string, { count: number; flops: number; milliseconds: number }>,
  isMeasured: boolean,
  depth: number,
): Explanation {
  const sum = (of: (cost: Mutable) => number) => [...costs.values()].reduce((total, cost) => total + of(cost), 0);
  const weight = ({ milliseconds, forwardFlops, backwardFlops }: Mutable) =>
    isMeasured ? milliseconds : forwardFlops + backwardFlops;
  const whole = sum(weight) || 1;
  const publish = (cost: Mutable) => ({
    parameters: cost.parameters,
    forwardFlops: cost.forwardFlops,
    backwardFlops: cost.backwardFlops,
    bytes: cost.bytes,
    ...(isMeasured && { milliseconds: cost.milliseconds, devices: [...cost.devices] }),
  });
  const modules = [...costs].map(([path, cost]) => ({ path, ...publish(cost), share: weight(cost) / whole }));
  const operations = [...kinds]
    .map(([name, { count, flops, milliseconds }]) => ({
      name,
      count,
      share: (isMeasured ? milliseconds : flops) / whole,
      ...(isMeasured && { milliseconds }),
    }))
    .sort((a, b) => b.share - a.share);
  const everything: Mutable = {
    parameters: sum((c) => c.parameters),
    forwardFlops: sum((c) => c.forwardFlops),
    backwardFlops: sum((c) => c.backwardFlops),
    bytes: sum((c) => c.bytes),
    milliseconds: sum((c) => c.milliseconds),
    devices: new Set([...costs.values()].flatMap(({ devices }) => [...devices])),
    operationsOn: new Map(),
  };
  const meant = backend.name === "webgpu" ? "WebGpu" : "CPU";
  const warnings = [...costs].flatMap(([path, { operationsOn }]) =>
    [...operationsOn].flatMap(([device, names]) =>
      device === meant
        ? []
        : [
            `${path || "outside modules"}: ${[...names].join(", ")} ran on ${device}, though the program is for ${meant}`,
          ],
    ),
  );
  const result = { modules, operations, total: publish(everything), nodes: nodes.length, warnings };
  return { ...result, toString: () => table(tree(modules, depth), result.total, isMeasured, warnings) };
}

/** Rows for every prefix of a path down to a depth, each the sum of what is below it. */
function tree(modules: readonly ModuleCost[], depth: number): ModuleCost[] {
  const rows = new Map<string, ModuleCost>();
  for (const { path, ...cost } of modules) {
    const parts = path.split(".");
    for (let n = Math.min(1, parts.length); n <= Math.min(depth, parts.length); n++) {
      const prefix = parts.slice(0, n).join(".");
      const known = rows.get(prefix);
      rows.set(prefix, known ? add(known, cost) : { path: prefix, ...cost });
    }
  }
  return [...rows.values()];
}

const add = (a: ModuleCost, b: Omit<ModuleCost, "path">): ModuleCost => ({
  path: a.path,
  parameters: a.parameters + b.parameters,
  forwardFlops: a.forwardFlops + b.forwardFlops,
  backwardFlops: a.backwardFlops + b.backwardFlops,
  bytes: a.bytes + b.bytes,
  share: a.share + b.share,
  ...(a.milliseconds !== undefined && {
    milliseconds: a.milliseconds + (b.milliseconds ?? 0),
    devices: [...new Set([...(a.devices ?? []), ...(b.devices ?? [])])],
  }),
});

const units = (value: number): string => {
  const [scale, unit] = (
    [
      [1e12, "T"],
      [1e9, "G"],
      [1e6, "M"],
      [1e3, "k"],
    ] as const
  ).find(([s]) => value >= s) ?? [1, ""];
  return value === 0 ? "-" : `${(value / scale).toPrecision(3)}${unit}`;
};

function table(
  rows: readonly ModuleCost[],
  total: Explanation["total"],
  isMeasured: boolean,
  warnings: readonly string[],
): string {
  const last = (path: string) =>
    path === "" ? "(outside modules)" : `${"  ".repeat(path.split(".").length - 1)}${path.split(".").at(-1)}`;
  const cells = (name: string, row: Omit<ModuleCost, "path" | "share">, share: string) => [
    name,
    units(row.parameters),
    units(row.forwardFlops),
    units(row.backwardFlops),
    `${units(row.bytes)}B`.replace("-B", "-"),
    ...(isMeasured ? [(row.milliseconds ?? 0).toFixed(2)] : []),
    share,
    ...(isMeasured ? [(row.devices ?? []).join("+")] : []),
  ];
  const head = [
    "module",
    "parameters",
    "forward",
    "backward",
    "writes",
    ...(isMeasured ? ["ms"] : []),
    "share",
    ...(isMeasured ? ["device"] : []),
  ];
  const lines = [
    head,
    ...rows.map((row) => cells(last(row.path), row, `${(100 * row.share).toFixed(1)}%`)),
    cells("total", total, "100%"),
  ];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => (line[column] as string).length)));
  const text = lines.map((line) =>
    line
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] as number) : cell.padStart(widths[column] as number),
      )
      .join("  ")
      .trimEnd(),
  );
  return [...text, ...warnings.map((warning) => `warning: ${warning}`)].join("\n");
}

/** Time and device of each node of the engine's own graph, by ONNX node name; variables keep their values. */
async function measure(
  executable: Executable,
  feeds: Readonly<Record<string, NDArray>> | undefined,
): Promise<Map<string, Measured>> {
  const { backend, model, outputs, observed, updates } = executable;
  if (!profiling) fail("backend", "explain: profiles are files, and this host has none; ask without profile");
  if (!feeds) fail("argument", "explain: a profile needs inputs to run on; give them, or run the program once");
  const { prefix, read } = await profiling.open();
  const session = await backend.createSession(encodeModel(model), { onDevice: [], simplified: true, profile: prefix });
  const fed = await feedsOf(executable, feeds, { seed: 0, step: 0 });
  const runs = 5;
  for (let i = 0; i < runs; i++)
    await session.run(fed, [...outputs, ...observed.values(), ...updates.values()], new Map());
  session.endProfiling();
  await session.release();
  const events = JSON.parse(await read()) as {
    cat?: string;
    name: string;
    dur: number;
    args?: { provider?: string };
  }[];
  const samples = new Map<string, { durations: number[]; device: string }>();
  for (const { cat, name, dur, args } of events) {
    if (cat !== "Node" || !name.endsWith("_kernel_time")) continue;
    const key = name.slice(0, -"_kernel_time".length);
    const known = samples.get(key) ?? {
      durations: [],
      device: (args?.provider ?? "CPUExecutionProvider").replace("ExecutionProvider", ""),
    };
    known.durations.push(dur);
    samples.set(key, known);
  }
  const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
  return new Map(
    [...samples].map(([key, { durations, device }]) => [key, { milliseconds: median(durations) / 1000, device }]),
  );
}

/** The engine fuses and renames nodes; what it made of one of ours begins with its name. */
function byNode(
  { origins }: Executable,
  measured: ReadonlyMap<string, Measured>,
): Map<Node, { milliseconds: number; devices: Set<string> }> {
  const result = new Map<Node, { milliseconds: number; devices: Set<string> }>();
  for (const [name, { milliseconds, device }] of measured) {
    const node = originOf(name, origins);
    if (!node) continue;
    const known = result.get(node) ?? { milliseconds: 0, devices: new Set<string>() };
    known.milliseconds += milliseconds;
    known.devices.add(device);
    result.set(node, known);
  }
  return result;
}

function originOf(name: string, origins: ReadonlyMap<string, Node>): Node | undefined {
  for (let end = name.length; end > 0; end = Math.max(name.lastIndexOf("/", end - 1), name.lastIndexOf("_", end - 1))) {
    const node = origins.get(name.slice(0, end));
    if (node) return node;
  }
  return undefined;
}
