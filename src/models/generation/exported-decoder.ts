/**
 * An exported file as a decoder (`layerwise export`, or any file with transformers.js's names): keys and values go out of
 * one run and into the next, in two sets of buffers that take turns, so that nothing is copied but what the graph copies.
 */
import { encodeModel } from "../../compile/lower.js";
import type { ModelProto, ValueInfoProto } from "../../compile/onnx/onnx_pb.js";
import type { Backend, Session } from "../../runtime/backend.js";
import { type CompileOptions, getBackend } from "../../runtime/index.js";
import { type DeviceArray, fail, NDArray } from "../../tensor/index.js";
import type { Decoder } from "./decoder.js";

export interface ExportedSizes {
  readonly context: number;
  readonly vocabulary: number;
}

/** One past_key_values.N.key or .value. */
interface Slot {
  readonly past: string;
  readonly present: string;
  readonly heads: number;
  readonly width: number;
}

interface State {
  /** The tokens that were read, row by row. */
  readonly held: number[][];
  /** For every column of the cache whether it holds a token of the row. */
  readonly columns: number[][];
  readonly past: readonly DeviceArray[];
}

export class ExportedDecoder implements Decoder {
  readonly context: number;
  readonly vocabulary: number;
  readonly #backend: Backend;
  readonly #session: Session;
  readonly #slots: readonly Slot[];
  readonly #inputs: ReadonlySet<string>;
  /** The buffers that past and present are in, by turns. */
  #buffers: [Float32Array[], Float32Array[]] = [[], []];
  #state: State | undefined;

  private constructor(backend: Backend, session: Session, model: ModelProto, { context, vocabulary }: ExportedSizes) {
    [this.context, this.vocabulary] = [context, vocabulary];
    [this.#backend, this.#session] = [backend, session];
    this.#slots = slotsOf(model);
    this.#inputs = new Set(model.graph?.input.map(({ name }) => name));
  }

  /** `model`: with all its values inside. Throws where it has not the inputs of a decoder with a cache. */
  static async open(model: ModelProto, sizes: ExportedSizes, options: CompileOptions = {}): Promise<ExportedDecoder> {
    const slots = slotsOf(model);
    const backend = await getBackend(options.backend, options);
    const onDevice = backend.holds("float32") ? slots.map(({ present }) => present) : [];
    const session = await backend.createSession(encodeModel(model), { onDevice });
    return new ExportedDecoder(backend, session, model, sizes);
  }

  async logits(rows: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const state = this.#continued(rows);
    const fresh = rows.map((row, b) => row.slice((state.held[b] as number[]).length));
    const T = Math.max(...fresh.map(({ length }) => length));
    const columns = state.columns.map((own, b) => [
      ...own,
      ...Array.from({ length: T }, (_, t) => Number(t < (fresh[b] as number[]).length)),
    ]);
    const results = await this.#run(state, fresh, T, columns);
    for (const array of state.past) array.release();
    const past = this.#slots.map(({ present }) => results.get(present) as DeviceArray);
    this.#state = { held: rows.map((row) => [...row]), columns, past };
    this.#buffers.reverse();
    const logits = await (results.get("logits") as DeviceArray).read();
    const V = logits.shape[2] as number;
    return fresh.map(({ length }, b) => {
      const at = (b * T + length - 1) * V;
      return (logits.data as Float32Array).subarray(at, at + V);
    });
  }

  async release(): Promise<void> {
    for (const array of this.#state?.past ?? []) array.release();
    this.#state = undefined;
    this.#buffers = [[], []];
    await this.#session.release();
  }

  /** What is remembered, where every row goes on from it; else an empty beginning. */
  #continued(rows: readonly (readonly number[])[]): State {
    const known = this.#state;
    const goesOn = (row: readonly number[], held: readonly number[]) =>
      row.length > held.length && held.every((token, i) => token === row[i]);
    if (known?.held.length === rows.length && rows.every((row, b) => goesOn(row, known.held[b] as number[])))
      return known;
    for (const array of known?.past ?? []) array.release();
    const empty = ({ heads, width }: Slot) => this.#backend.upload(NDArray.zeros([rows.length, heads, 0, width]));
    return { held: rows.map(() => []), columns: rows.map(() => []), past: this.#slots.map(empty) };
  }

  async #run(
    { held, past }: State,
    fresh: readonly (readonly number[])[],
    T: number,
    columns: readonly (readonly number[])[],
  ): Promise<ReadonlyMap<string, DeviceArray>> {
    const B = fresh.length;
    const total = columns[0]?.length ?? 0;
    const grid = (value: (b: number, t: number) => number) =>
      NDArray.from(
        fresh.flatMap((_, b) => Array.from({ length: T }, (_, t) => value(b, t))),
        "int64",
        [B, T],
      );
    const place = (b: number, t: number) => Math.min((held[b] as number[]).length + t, this.context - 1);
    const arrays: Record<string, NDArray> = {
      input_ids: grid((b, t) => fresh[b]?.[t] ?? 0),
      position_ids: grid(place),
      attention_mask: NDArray.from(columns.flat(), "int64", [B, total]),
    };
    const feeds = new Map<string, DeviceArray>();
    for (const [name, array] of Object.entries(arrays))
      if (this.#inputs.has(name)) feeds.set(name, this.#backend.upload(array));
    const spares = new Map<string, DeviceArray>();
    for (const [i, { past: name, present, heads, width }] of this.#slots.entries()) {
      feeds.set(name, past[i] as DeviceArray);
      if (this.#backend.fillsOutputs) spares.set(present, this.#spare(i, [B, heads, total, width]));
    }
    const logits = [B, T, this.vocabulary];
    if (this.#backend.fillsOutputs) spares.set("logits", this.#backend.upload(NDArray.zeros(logits)));
    return this.#session.run(feeds, ["logits", ...this.#slots.map(({ present }) => present)], spares);
  }

  /** The beginning of a buffer of its own for each slot, which grows by doubling. */
  #spare(slot: number, shape: readonly number[]): DeviceArray {
    const size = shape.reduce((a, b) => a * b);
    const buffers = this.#buffers[0];
    if ((buffers[slot]?.length ?? 0) < size) buffers[slot] = new Float32Array(2 * size);
    return this.#backend.upload(new NDArray((buffers[slot] as Float32Array).subarray(0, size), shape, "float32"));
  }
}

function slotsOf({ graph }: ModelProto): Slot[] {
  const outputs = new Set(graph?.output.map(({ name }) => name));
  const slots = (graph?.input ?? []).flatMap((info): Slot[] => {
    if (!info.name.startsWith("past_key_values.")) return [];
    const present = info.name.replace("past_key_values", "present");
    const [, heads, , width] = fixedShape(info);
    return heads && width && outputs.has(present) ? [{ past: info.name, present, heads, width }] : [];
  });
  return slots.length > 0 && outputs.has("logits")
    ? slots
    : fail(
        "file",
        "expected a decoder with a cache: inputs past_key_values.N.key and .value, outputs logits and present.N.key and .value",
      );
}

function fixedShape({ type }: ValueInfoProto): (number | undefined)[] {
  if (type?.value.case !== "tensorType") return [];
  return (type.value.value.shape?.dim ?? []).map(({ value }) =>
    value.case === "dimValue" ? Number(value.value) : undefined,
  );
}
