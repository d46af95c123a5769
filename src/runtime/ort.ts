/** ONNX Runtime behind our `Backend`: the same code for its native, WebAssembly and browser packages. */
import type { InferenceSession, Tensor as OrtTensor, TensorConstructor } from "onnxruntime-common";
import { copyModel } from "../compile/copy-model.js";
import { type DeviceArray, type DType, fail, NDArray, type Shape, type TypedArray } from "../tensor/index.js";
import type { Backend, BackendName, Session, SessionOptions } from "./backend.js";

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
  /** The native package writes into the arrays it is given; the web package returns new ones. */
  readonly fillsOutputs: boolean;
  /** Outputs that are fed again stay in device memory. */
  readonly keepsOnDevice: boolean;
  /** Whether device memory is read by a program rather than by the package's own function. */
  readonly downloadsByProgram: boolean;
}

type OrtDType = "float32" | "float16" | "float64" | "int32" | "int64" | "bool" | "int8" | "uint8";

class OrtArray implements DeviceArray {
  constructor(
    readonly backend: object,
    readonly tensor: OrtTensor,
    readonly shape: Shape,
    readonly dtype: DType,
    private readonly download: (tensor: OrtTensor) => Promise<TypedArray>,
  ) {}

  async read(): Promise<NDArray> {
    const onHost = this.tensor.location === "cpu" || this.tensor.location === "cpu-pinned";
    const data = onHost ? (this.tensor.data as TypedArray).slice() : await this.download(this.tensor);
    return new NDArray(rawHalves(this.dtype, data as TypedArray), this.shape, this.dtype);
  }

  release(): void {
    this.tensor.dispose();
  }
}

/** Hosts with a Float16Array hand it out; we keep the 16 bits. */
const rawHalves = (dtype: DType, data: TypedArray): TypedArray =>
  dtype === "float16" && !(data instanceof Uint16Array)
    ? new Uint16Array((data as ArrayBufferView).buffer as ArrayBuffer)
    : data;

export function ortBackend(host: OrtHost): Backend {
  const { ort, name, engine, version, threads } = host;
  const wrap = (tensor: OrtTensor): OrtArray =>
    new OrtArray(backend, tensor, tensor.dims, tensor.type as OrtDType, download);
  const download = downloader(host);
  const backend: Backend = {
    name,
    description: { engine, version, threads },
    upload: ({ data, shape, dtype }) => wrap(new ort.Tensor(dtype as "float32", data as Float32Array, shape)),
    async createSession(model, options) {
      const session = await createOrtSession(host, model, options);
      return ortSession(session, host, wrap);
    },
  };
  return backend;
}

/**
 * Device memory to the host. The native package cannot map a buffer it was given back (it ends the process), so a
 * program that copies its input does it: one per shape.
 */
function downloader(host: OrtHost): (tensor: OrtTensor) => Promise<TypedArray> {
  const copiers = new Map<string, Promise<InferenceSession>>();
  return async (tensor) => {
    if (!host.downloadsByProgram) return (await tensor.getData()) as TypedArray;
    const key = `${tensor.type}${tensor.dims.join("x")}`;
    const copier =
      copiers.get(key) ?? createOrtSession(host, copyModel(tensor.type as OrtDType, tensor.dims), { onDevice: [] });
    copiers.set(key, copier);
    const { y } = await (await copier).run({ x: tensor });
    return (y as OrtTensor).data as TypedArray;
  };
}

async function createOrtSession(
  { ort, session, keepsOnDevice, name }: OrtHost,
  model: Uint8Array,
  { onDevice, profile }: SessionOptions,
): Promise<InferenceSession> {
  try {
    return await ort.InferenceSession.create(model, {
      ...session,
      ...(keepsOnDevice &&
        onDevice.length > 0 && {
          preferredOutputLocation: Object.fromEntries(onDevice.map((output) => [output, "gpu-buffer" as const])),
        }),
      ...(profile !== undefined && { enableProfiling: true, profileFilePrefix: profile }),
    });
  } catch (error) {
    return fail(
      "backend",
      `backend "${name}" refused the program: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
}

function ortSession(
  session: InferenceSession,
  { fillsOutputs, name }: OrtHost,
  wrap: (tensor: OrtTensor) => OrtArray,
): Session {
  return {
    async run(feeds, outputs, spares) {
      const inputs: Record<string, OrtTensor> = {};
      for (const [key, array] of feeds) inputs[key] = (array as OrtArray).tensor;
      const fetches: Record<string, OrtTensor | null> = {};
      for (const key of outputs)
        fetches[key] = (fillsOutputs && (spares.get(key) as OrtArray | undefined)?.tensor) || null;
      try {
        const results = await session.run(inputs, fetches);
        return new Map(outputs.map((key) => [key, wrap(results[key] as OrtTensor)]));
      } catch (error) {
        return fail(
          "backend",
          `backend "${name}" failed while running: ${error instanceof Error ? error.message : String(error)}`,
          { cause: error },
        );
      }
    },
    endProfiling: () => session.endProfiling(),
    release: () => session.release(),
  };
}
