/** An array that an ONNX Runtime engine holds: on the host, or in device memory. */
import type { Tensor as OrtTensor } from "onnxruntime-common";
import { type DeviceArray, type DType, dtypes, fail, NDArray, type Shape, type TypedArray } from "../tensor/index.js";

/** Whoever drops a model need not give back its device memory: that happens when its arrays are collected. */
const forgotten = new FinalizationRegistry<() => void>((free) => free());

export const isOnDevice = ({ location }: OrtTensor): boolean => location === "gpu-buffer";

export class OrtArray implements DeviceArray {
  readonly #download: (tensor: OrtTensor) => Promise<TypedArray>;
  readonly #free: () => void;
  #reading: Promise<TypedArray> | undefined;
  #users = 1;
  released = false;

  /** `free` gives the memory back; it must not lead to this array, or it would never be collected. */
  constructor(
    readonly backend: object,
    readonly tensor: OrtTensor,
    download: (tensor: OrtTensor) => Promise<TypedArray>,
    free: () => void,
  ) {
    this.#download = download;
    this.#free = free;
    if (isOnDevice(tensor)) forgotten.register(this, free, this);
  }

  get shape(): Shape {
    return this.tensor.dims;
  }

  /** A copy on the host. */
  async read(): Promise<NDArray> {
    const { tensor, shape } = this;
    const dtype = tensor.type as DType;
    if (!dtypes.includes(dtype)) return widened(tensor);
    if (!isOnDevice(tensor)) return new NDArray(rawHalves(dtype, (tensor.data as TypedArray).slice()), shape, dtype);
    this.#reading ??= this.#downloaded();
    return new NDArray(rawHalves(dtype, (await this.#reading).slice()), shape, dtype);
  }

  /** The packages refuse to read an array that is being read. */
  async #downloaded(): Promise<TypedArray> {
    this.hold();
    try {
      return await this.#download(this.tensor);
    } finally {
      this.#reading = undefined;
      this.drop();
    }
  }

  /** Its memory stays until the matching `drop`, whoever releases it meanwhile. */
  hold(): void {
    this.#users++;
  }

  drop(): void {
    if (--this.#users > 0) return;
    forgotten.unregister(this);
    this.#free();
  }

  release(): void {
    if (this.released) return;
    this.released = true;
    this.drop();
  }
}

/** Programs of ours give none of these types; models of others may. */
function widened({ type, data, dims }: OrtTensor): NDArray {
  if (type === "int16" || type === "uint16") return NDArray.from(data as Uint16Array, "int32", dims);
  if (type === "uint32" || type === "uint64")
    return new NDArray(BigInt64Array.from(data as BigUint64Array, BigInt), dims, "int64");
  return fail("dtype", `an output is ${type}, which no array here can hold`);
}

/** Hosts with a Float16Array hand it out; we keep the 16 bits. */
function rawHalves(dtype: DType, data: TypedArray): TypedArray {
  if (dtype !== "float16" || data instanceof Uint16Array) return data;
  const { buffer, byteOffset, length } = data as ArrayBufferView & { readonly length: number };
  return new Uint16Array(buffer as ArrayBuffer, byteOffset, length);
}
