/** ONNX Runtime behind our `Backend`: the same code for its native, WebAssembly and browser packages. */
import type { InferenceSession, Tensor as OrtTensor, TensorConstructor } from "onnxruntime-common";
import { copyModel } from "../compile/copy-model.js";
import { type DType, fail, LayerwiseError, NDArray, type TypedArray } from "../tensor/index.js";
import type { Backend, BackendName, Session, SessionOptions } from "./backend.js";
import { isOnDevice, OrtArray } from "./ort-array.js";
import { isStop, stopName, withStop } from "./uncopied.js";

/** The part of an ONNX Runtime package that we use. */
export interface OrtModule {
  readonly InferenceSession: {
    create(model: Uint8Array, options?: InferenceSession.SessionOptions): Promise<InferenceSession>;
  };
  readonly Tensor: TensorConstructor;
}

export interface OrtHost {
  readonly name: BackendName;
  readonly ort: OrtModule;
  readonly engine: string;
  readonly version: string;
  readonly threads: number;
  readonly session: InferenceSession.SessionOptions;
  /** How much the engine optimises what our compiler has simplified; default: as much as anything else. */
  readonly levelIfSimplified?: InferenceSession.SessionOptions["graphOptimizationLevel"];
  /** Whether it writes into the arrays it is given for outputs: the native package does, for host memory. */
  readonly fillsOutputs: boolean;
  /** Whether it can be kept from copying them besides (see uncopied.ts). */
  readonly stops: boolean;
  /** Variables stay in device memory. */
  readonly keepsOnDevice: boolean;
  /** Whether device memory is read by a program rather than by the package's own function. */
  readonly downloadsByProgram: boolean;
  /** Of a device that can be lost: settles, with why, when it is. Engines may wait for such a device forever. */
  readonly loss?: DeviceLoss;
  /** What to do about a refused program, from the engine's message. */
  readonly advice?: (message: string) => string;
}

export interface DeviceLoss {
  /** Why it was lost; undefined while it is there. */
  reason: string | undefined;
  readonly promise: Promise<void>;
  /** Called after each session that is made. */
  watch(): Promise<void>;
}

/**
 * Buffers of the very size that is asked for are kept, for shapes are fixed: by default the engine keeps a few of each of some rounded
 * sizes, and makes the rest anew in every step.
 */
export const webgpuProvider = { name: "webgpu", storageBufferCacheMode: "simple" } as const;

/** What the packages' tensors can hold in device memory. */
const deviceTypes: ReadonlySet<DType> = new Set(["float32", "float16", "int32", "int64", "uint8", "bool"]);

export function ortBackend(host: OrtHost): Backend {
  const { ort, name, engine, version, threads, fillsOutputs, keepsOnDevice, downloadsByProgram } = host;
  const copy = copier(host);
  const download = async (tensor: OrtTensor): Promise<TypedArray> =>
    (downloadsByProgram
      ? (await copy(tensor, "cpu")).data
      : await whileThere(host, () => tensor.getData())) as TypedArray;
  const array = (tensor: OrtTensor, free = () => tensor.dispose()) => new OrtArray(backend, tensor, download, free);
  const tensorOf = (data: TypedArray, shape: readonly number[], dtype: DType): OrtTensor =>
    new ort.Tensor(dtype as "float32", data as Float32Array, shape);
  const holds = (dtype: DType) => keepsOnDevice && deviceTypes.has(dtype);
  const backend: Backend = {
    name,
    description: { engine, version, threads },
    fillsOutputs,
    ...(host.loss && { lost: host.loss.promise }),
    holds,
    upload: ({ data, shape, dtype }) => array(tensorOf(data, shape, dtype)),
    place: async ({ data, shape, dtype }) =>
      holds(dtype) && data.length > 0
        ? array(await copy(tensorOf(data, shape, dtype), "gpu-buffer"))
        : array(tensorOf(data.slice(), shape, dtype)),
    createSession: async (model, options) => {
      const own = { ...host, stops: host.stops && !options.asIs };
      return ortSession(await createOrtSession(own, model, options), own, array);
    },
  };
  return backend;
}

/**
 * To device memory and back, by a program that copies its input: one per type and direction. (The native package
 * cannot map a buffer that it gave back: that ends the process.)
 */
function copier(host: OrtHost): (tensor: OrtTensor, to: "cpu" | "gpu-buffer") => Promise<OrtTensor> {
  const sessions = new Map<string, Promise<InferenceSession>>();
  return async (tensor, to) => {
    const key = `${tensor.type} ${to}`;
    const dtype = tensor.type as DType;
    const session =
      sessions.get(key) ?? createOrtSession(host, copyModel(dtype), { onDevice: to === "cpu" ? [] : ["y"] });
    sessions.set(key, session);
    try {
      const { y } = await whileThere(host, async () => (await session).run({ x: tensor }));
      return y as OrtTensor;
    } catch (error) {
      sessions.delete(key);
      return refuse(`backend "${host.name}" failed while copying`, error);
    }
  };
}

async function createOrtSession(
  host: OrtHost,
  model: Uint8Array,
  { onDevice, profile, files, simplified }: SessionOptions,
): Promise<InferenceSession> {
  const { ort, session, levelIfSimplified, stops, name, advice } = host;
  try {
    const made = await whileThere(host, () =>
      ort.InferenceSession.create(stops ? withStop(model) : model, {
        ...session,
        ...(simplified && levelIfSimplified && { graphOptimizationLevel: levelIfSimplified }),
        ...(onDevice.length > 0 && {
          preferredOutputLocation: Object.fromEntries(onDevice.map((output) => [output, "gpu-buffer" as const])),
        }),
        ...(files && { externalData: Array.from(files, ([path, data]) => ({ path, data })) }),
        ...(profile !== undefined && { enableProfiling: true, profileFilePrefix: profile }),
      }),
    );
    await host.loss?.watch();
    return made;
  } catch (error) {
    return refuse(`backend "${name}" refused the program`, error, advice);
  }
}

/** An engine's work, unless its device is lost before or meanwhile. */
async function whileThere<T>({ name, loss }: OrtHost, work: () => Promise<T>): Promise<T> {
  if (!loss) return work();
  const gone = (): never =>
    fail(
      "backend",
      `backend "${name}" has lost its device (${loss.reason}), and with it the variables that were there; compile anew and go on from what was saved last`,
    );
  if (loss.reason !== undefined) return gone();
  return Promise.race([work(), loss.promise.then(gone)]);
}

/** Devices differ in it: Chromium on Linux, for one, withholds it on NVIDIA's. */
const halfAdvice = (message: string): string =>
  message.includes("requires f16")
    ? '; float16 needs a device with the WebGPU feature "shader-f16": leave out precision: "float16" (`fp16` in a configuration) and `autocast`'
    : "";

function refuse(problem: string, error: unknown, advice: OrtHost["advice"] = () => ""): never {
  if (error instanceof LayerwiseError) throw error;
  const message = error instanceof Error ? error.message : String(error);
  return fail("backend", `${problem}: ${message}${advice(message)}`, { cause: error });
}

function ortSession(
  session: InferenceSession,
  host: OrtHost,
  array: (tensor: OrtTensor, free: () => void) => OrtArray,
): Session {
  const { ort, fillsOutputs, stops, name } = host;
  const fresh = stops ? freshOutputs(ort, session) : () => undefined;
  // Arrays in device memory belong to the allocator of the session that made them: it is closed after the last one.
  let [alive, released, closed] = [0, false, false];
  const close = async () => {
    if (!released || closed || alive > 0) return;
    closed = true;
    await session.release();
  };
  const made = (tensor: OrtTensor) => {
    if (!isOnDevice(tensor)) return array(tensor, () => tensor.dispose());
    alive++;
    return array(tensor, () => {
      tensor.dispose();
      alive--;
      void close();
    });
  };
  return {
    async run(feeds, outputs, spares) {
      const inputs = Object.fromEntries(Array.from(feeds, ([key, fed]) => [key, (fed as OrtArray).tensor]));
      const given = new Map(outputs.map((key) => [key, fillsOutputs ? (spares.get(key) as OrtArray) : undefined]));
      const targets = new Map(outputs.map((key) => [key, given.get(key)?.tensor ?? fresh(key)]));
      const held = [...feeds.values(), ...spares.values()] as OrtArray[];
      for (const array of held) array.hold();
      try {
        const results = await whileThere(host, () => runInto(session, inputs, targets, stops));
        const result = (key: string, spare: OrtArray | undefined) => {
          if (spare && !spare.released) return spare;
          const tensor = results[key] as OrtTensor;
          // Whoever released the spare meanwhile has it disposed of; what it holds is new.
          return made(
            tensor === spare?.tensor
              ? new ort.Tensor(tensor.type as "float32", tensor.data as Float32Array, tensor.dims)
              : tensor,
          );
        };
        return new Map(Array.from(given, ([key, spare]) => [key, result(key, spare)]));
      } catch (error) {
        return refuse(`backend "${name}" failed while running`, error, halfAdvice);
      } finally {
        for (const array of held) array.drop();
      }
    },
    endProfiling: () => session.endProfiling(),
    async release() {
      released = true;
      await close();
    },
  };
}

type Targets = ReadonlyMap<string, OrtTensor | undefined>;

/** Tensors that are not given come from the engine; where it stops before it copies them, they must all be given. */
async function runInto(
  session: InferenceSession,
  inputs: Readonly<Record<string, OrtTensor>>,
  targets: Targets,
  stops: boolean,
): Promise<Readonly<Record<string, OrtTensor>>> {
  const fetches = Object.fromEntries(Array.from(targets, ([key, tensor]) => [key, tensor ?? null]));
  if (!stops || Object.values(fetches).includes(null)) return session.run(inputs, fetches);
  try {
    return await session.run(inputs, { [stopName]: null, ...fetches });
  } catch (error) {
    if (!isStop(error)) throw error;
    return fetches as Record<string, OrtTensor>;
  }
}

/** Makes an array for an output whose shape is fixed. */
function freshOutputs({ Tensor }: OrtModule, session: InferenceSession): (key: string) => OrtTensor | undefined {
  const metadata = new Map(session.outputMetadata.map((output) => [output.name, output]));
  return (key) => {
    const output = metadata.get(key);
    if (!output?.isTensor || !output.shape.every((n) => typeof n === "number" && n >= 0)) return undefined;
    const { data, shape } = NDArray.zeros(output.shape as number[], output.type as DType);
    return new Tensor(output.type as "float32", data as Float32Array, shape);
  };
}
