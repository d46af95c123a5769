/**
 * The decode graph at work: a session with the model's weights as constants, and the keys and values of the tokens that
 * were read. The session is made anew when a weight has another value, the graph when the model's structure changes.
 *
 * On the CPU keys and values are written where they lie: the engine is given the same arrays to read and to fill, and the
 * only node that reads them writes the new rows into them.
 */
import type { WeightType } from "../../compile/quantized-weights.js";
import type { Backend, Session } from "../../runtime/backend.js";
import { sessionWithWeights } from "../../runtime/constant-weights.js";
import { type CompileOptions, getBackend } from "../../runtime/index.js";
import { type DeviceArray, NDArray, structureRevision } from "../../tensor/index.js";
import type { GPT } from "../gpt.js";
import { type DecodeGraph, decodeGraph, keyValueParts, pastName, presentName, slotsName } from "./decode-graph.js";
import type { Decoder } from "./decoder.js";
import { chunk, grown, places, positionsHeld, type Span, slotsOf } from "./slots.js";

/** The length of caches for texts of `n` tokens: a power of two, or one and a half. */
const rounded = (n: number): number => {
  let size = 128;
  while (size < n) size = Number.isInteger(Math.log2(size)) ? (size * 3) / 2 : (size * 4) / 3;
  return size;
};

/** Positions that the first graph has tables for. */
const usualLength = 8192;

interface Built {
  readonly revision: number;
  readonly graph: DecodeGraph;
}

interface Running {
  readonly graph: DecodeGraph;
  readonly session: Session;
  readonly versions: readonly number[];
}

interface Kept {
  readonly capacity: number;
  /** The tokens whose keys and values are there, row by row. */
  readonly held: number[][];
  readonly arrays: Map<string, DeviceArray>;
}

export class VariableDecoder implements Decoder {
  readonly context: number;
  readonly vocabulary: number;
  #built: Built | undefined;
  #running: Running | undefined;
  #kept: Kept | undefined;

  constructor(
    readonly model: GPT,
    readonly type: WeightType,
    readonly options: CompileOptions,
  ) {
    ({ context: this.context, vocabulary: this.vocabulary } = model.config);
  }

  /** Logits of what follows each row. Reads what no run has read yet. */
  async logits(rows: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const backend = await getBackend(this.options.backend, this.options);
    const longest = Math.max(...rows.map((row) => row.length));
    const running = await this.#current(backend, longest);
    const kept = await this.#cacheFor(running.graph, backend, rows.length, longest);
    const begins = rows.map((row, b) => reusable(kept.held[b] as number[], row, running.graph));
    const logits: Float32Array[] = [];
    for (let done = 0; ; done += chunk) {
      const spans = rows.map((row, b): Span => {
        const start = Math.min(row.length, (begins[b] as number) + done);
        return { start, count: Math.min(chunk, row.length - start) };
      });
      if (spans.every(({ count }) => count === 0)) return logits;
      const made = await this.#run(running, kept, backend, rows, spans);
      for (const [b, { start, count }] of spans.entries())
        if (count > 0 && start + count === rows[b]?.length) logits[b] = made[b] as Float32Array;
    }
  }

  async release(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    this.#forget();
    await running?.session.release();
  }

  #forget(): void {
    for (const array of this.#kept?.arrays.values() ?? []) array.release();
    this.#kept = undefined;
  }

  /** The session for the weights of now. What others have made is of no use then. */
  async #current(backend: Backend, length: number): Promise<Running> {
    const graph = this.#graph(backend, length);
    const versions = Array.from(graph.lowered.variables.keys(), ({ version }) => version);
    const last = this.#running;
    if (last?.graph === graph && versions.every((version, i) => version === last.versions[i])) return last;
    await this.release();
    const onDevice = backend.holds("float32")
      ? graph.layers.flatMap((_, l) => keyValueParts.map((part) => presentName(l, part)))
      : [];
    const session = await sessionWithWeights(graph.lowered, this.type, backend, onDevice);
    this.#running = { graph, session, versions };
    return this.#running;
  }

  #graph(backend: Backend, length: number): DecodeGraph {
    const revision = structureRevision();
    const known = this.#built;
    if (known?.revision === revision && known.graph.length >= length) return known.graph;
    const tables = Math.min(this.model.config.context, Math.max(usualLength, rounded(length)));
    const graph = decodeGraph(this.model, tables, backend.name);
    this.#built = { revision, graph };
    return graph;
  }

  /** Keys and values for so many rows and tokens; what is there already is kept. */
  async #cacheFor(graph: DecodeGraph, backend: Backend, batch: number, length: number): Promise<Kept> {
    const known = this.#kept?.held.length === batch ? this.#kept : undefined;
    if (known && known.capacity >= length) return known;
    if (!known) this.#forget();
    const capacity = Math.min(rounded(length + 64), this.model.config.context);
    const arrays = new Map<string, DeviceArray>();
    for (const [l, { kvHeads, headWidth, window }] of graph.layers.entries())
      for (const part of keyValueParts) {
        const name = pastName(l, part);
        const slots = slotsOf(window, capacity);
        const old = known?.arrays.get(name);
        if (old && slotsOf(window, known?.capacity ?? 0) === slots) arrays.set(name, old);
        else {
          const empty = () => NDArray.zeros([batch, kvHeads, slots + 1, headWidth], "float32");
          arrays.set(name, await backend.place(old ? grown(await old.read(), slots) : empty()));
          old?.release();
        }
      }
    this.#kept = { capacity, arrays, held: known?.held ?? Array.from({ length: batch }, () => []) };
    return this.#kept;
  }

  /** One run over at most `chunk` tokens of every row; the logits after the last one of each. */
  async #run(
    { graph, session }: Running,
    kept: Kept,
    backend: Backend,
    rows: readonly (readonly number[])[],
    spans: readonly Span[],
  ): Promise<Float32Array[]> {
    const feeds = new Map([...inputsOf(graph, kept.capacity, rows, spans, backend), ...kept.arrays]);
    const vocabulary = this.model.config.vocabulary;
    const spares = new Map<string, DeviceArray>();
    if (backend.fillsOutputs) {
      spares.set("logits", backend.upload(NDArray.zeros([rows.length, vocabulary], "float32")));
      for (const [past, array] of kept.arrays) spares.set(past.replace("past", "present"), array);
    }
    const outputs = ["logits", ...Array.from(kept.arrays.keys(), (past) => past.replace("past", "present"))];
    // A run that fails may have written some of its rows.
    const held = kept.held.splice(0, rows.length, ...rows.map(() => []));
    const results = await session.run(feeds, outputs, spares);
    for (const [b, { start, count }] of spans.entries())
      kept.held[b] = count > 0 ? (rows[b] as number[]).slice(0, start + count) : (held[b] as number[]);
    for (const [past, old] of kept.arrays) {
      const next = results.get(past.replace("past", "present")) as DeviceArray;
      if (next === old) continue;
      kept.arrays.set(past, next);
      old.release();
    }
    const { data } = await (results.get("logits") as DeviceArray).read();
    return rows.map((_, b) => (data as Float32Array).subarray(b * vocabulary, (b + 1) * vocabulary));
  }
}

/** Everything that is fed but keys and values. */
function inputsOf(
  { layers }: DecodeGraph,
  capacity: number,
  rows: readonly (readonly number[])[],
  spans: readonly Span[],
  backend: Backend,
): Map<string, DeviceArray> {
  const B = rows.length;
  const T = Math.max(...spans.map(({ count }) => count));
  const [tokens, positions] = [NDArray.zeros([B, T], "int32"), NDArray.zeros([B, T], "int32")];
  for (const [b, { start, count }] of spans.entries())
    for (let t = 0; t < count; t++) {
      tokens.data[b * T + t] = rows[b]?.[start + t] as number;
      positions.data[b * T + t] = start + t;
    }
  const column = (values: readonly number[]) => NDArray.from(values, "int32", [B, 1]);
  const arrays: [string, NDArray][] = [
    ["tokens", tokens],
    ["positions", positions],
    ["rows", column(rows.map((_, b) => b))],
    ["last", column(spans.map(({ count }) => Math.max(0, count - 1)))],
  ];
  for (const window of new Set(layers.map((layer) => layer.window))) {
    const slots = slotsOf(window, capacity);
    arrays.push([`places ${slotsName(window)}`, places(spans, T, slots)]);
    arrays.push([`held ${slotsName(window)}`, positionsHeld(spans, slots)]);
  }
  return new Map(arrays.map(([name, array]) => [name, backend.upload(array)]));
}

/** How many tokens of `wanted` need not be read again; the last one always is. */
function reusable(held: readonly number[], wanted: readonly number[], { layers }: DecodeGraph): number {
  let n = 0;
  while (n < held.length && n < wanted.length && held[n] === wanted[n]) n++;
  n = Math.min(n, wanted.length - 1);
  // Further back a window has forgotten what its tokens stand upon.
  const hasWindow = layers.some(({ window }) => window !== undefined);
  return hasWindow && held.length - n > chunk ? 0 : n;
}
