/** What a host offers for running a compiled model. One file per host implements it; programs know nothing else. */
import type { DeviceArray, DType, NDArray } from "../tensor/index.js";

export type BackendName = "cpu" | "webgpu" | "wasm";

export interface BackendOptions {
  /** Threads of one operation; default: the machine's physical cores. */
  readonly threads?: number;
}

export interface Backend {
  readonly name: BackendName;
  /** Engine, version and threads: what a run must record to be repeatable. */
  readonly description: { readonly engine: string; readonly version: string; readonly threads: number };
  /** Settles when its device is gone, and all arrays on it: whatever it is asked then fails. */
  readonly lost?: Promise<void>;
  /** Channels in a block of the engine's own layout for convolutions, tried out; undefined where it has none. */
  channelBlock?(): Promise<number | undefined>;
  /** Whether runs write into the spares they are given; elsewhere a spare would only take memory. */
  readonly fillsOutputs: boolean;
  /** Whether arrays of this type can stay in device memory from run to run. */
  holds(dtype: DType): boolean;
  /** A host array as something that can be fed once; no copy where host memory is device memory. */
  upload(array: NDArray): DeviceArray;
  /** A copy of a host array where programs run: to be fed again and again, and written to. */
  place(array: NDArray): Promise<DeviceArray>;
  /** `onDevice` names the outputs that are fed again and should stay where they were computed. */
  createSession(model: Uint8Array, options: SessionOptions): Promise<Session>;
}

export interface SessionOptions {
  readonly onDevice: readonly string[];
  /** Values of initialisers that the model says are in files, by the file's name: no copy of them in the model. */
  readonly files?: ReadonlyMap<string, Uint8Array>;
  /** File prefix for the engine's own profile, if one is wanted. */
  readonly profile?: string;
  /** The compiler has simplified it already: an engine's own search for what to simplify would take time for little. */
  readonly simplified?: boolean;
  /** The model is another program's, for any operation set: it is run as it is. */
  readonly asIs?: boolean;
}

export interface Session {
  /**
   * Run once. `spares` are buffers of the right shape that an output may be written to; the array returned for an
   * output may be that buffer or a new one.
   */
  run(
    feeds: ReadonlyMap<string, DeviceArray>,
    outputs: readonly string[],
    spares: ReadonlyMap<string, DeviceArray>,
  ): Promise<ReadonlyMap<string, DeviceArray>>;
  /** Ends profiling; the engine writes its file. */
  endProfiling(): void;
  release(): Promise<void>;
}

/** A place for the engine's profile: the prefix of the file it will write, and its text afterwards. */
export interface Profiling {
  open(): Promise<{ readonly prefix: string; read(): Promise<string> }>;
}

export interface Files {
  /** Atomically: under the name there is the old file or the new one, never a part. */
  write(path: string, bytes: Uint8Array): Promise<void>;
  read(path: string): Promise<Uint8Array>;
}
