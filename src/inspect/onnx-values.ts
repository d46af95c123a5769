/** Values that an ONNX file holds, as arrays: in the forms that other programs write, inside the file or next to it. */
import {
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProto_DataType as Type,
} from "../compile/onnx/onnx_pb.js";
import { allocate, bytesPerElement, type DType, fail, formatShape, NDArray, sizeOf } from "../tensor/index.js";

/** ONNX types that arrays of ours can hold. */
export const dtypeOf: ReadonlyMap<number, DType> = new Map<number, DType>([
  [Type.FLOAT, "float32"],
  [Type.FLOAT16, "float16"],
  [Type.DOUBLE, "float64"],
  [Type.INT32, "int32"],
  [Type.INT64, "int64"],
  [Type.BOOL, "bool"],
  [Type.INT8, "int8"],
  [Type.UINT8, "uint8"],
]);

export const typeName = (code: number): string => dtypeOf.get(code) ?? (Type[code] ?? `type ${code}`).toLowerCase();

export const isExternal = ({ dataLocation }: TensorProto): boolean =>
  dataLocation === TensorProto_DataLocation.EXTERNAL;

/**
 * Throws a "file" error where a value of the model lies outside it, in the graph, its subgraphs, constants or functions:
 * the engine would look for it wherever this process happens to run.
 */
export function checkWhole({ graph, functions }: ModelProto, source: string): void {
  const check = (tensor: TensorProto | undefined): void => {
    if (tensor && isExternal(tensor))
      fail("file", `${source}: value "${tensor.name}" lies outside the file, where it is not read from`);
  };
  const checkNodes = (nodes: readonly NodeProto[]): void => {
    for (const { attribute } of nodes)
      for (const { t, tensors, g, graphs, sparseTensor } of attribute) {
        for (const tensor of [t, ...tensors, sparseTensor?.values, sparseTensor?.indices]) check(tensor);
        for (const inner of [g, ...graphs]) checkGraph(inner);
      }
  };
  const checkGraph = (inner: GraphProto | undefined): void => {
    for (const tensor of inner?.initializer ?? []) check(tensor);
    for (const { values, indices } of inner?.sparseInitializer ?? [])
      for (const tensor of [values, indices]) check(tensor);
    checkNodes(inner?.node ?? []);
  };
  checkGraph(graph);
  for (const { node } of functions) checkNodes(node);
}

/** No axis of any array is longer. */
const longest = 2 ** 40;

export function shapeOf({ name, dims }: TensorProto, source: string): number[] {
  const shape = dims.map(Number);
  if (shape.some((n) => !Number.isSafeInteger(n) || n < 0) || !(sizeOf(shape) <= longest))
    fail("file", `${source}: value "${name}" has the shape ${formatShape(shape)}`);
  return shape;
}

/**
 * A value as an array; bfloat16 becomes float32, which holds all its numbers. Throws a "file" error that begins with
 * `source` where the bytes do not fit the shape, and a "dtype" error for types that arrays have not (strings, 4 bits, …).
 */
export function storedValue(tensor: TensorProto, source: string): NDArray {
  const { name, dataType, rawData } = tensor;
  const shape = shapeOf(tensor, source);
  const size = sizeOf(shape);
  if (isExternal(tensor)) return fail("file", `${source}: value "${name}" lies outside the file; read it in first`);
  const check = (count: number, what: string): void => {
    if (count !== size)
      fail("file", `${source}: value "${name}" has the shape ${formatShape(shape)} but ${count} ${what}`);
  };
  if (dataType === Type.BFLOAT16) return bfloat16(tensor, shape, check);
  const dtype = dtypeOf.get(dataType);
  if (!dtype) return fail("dtype", `${source}: value "${name}" is ${typeName(dataType)}, which no array here can hold`);
  const listed = listOf(tensor, dtype);
  if (listed.length > 0) {
    check(listed.length, "numbers");
    const data = allocate(dtype, size);
    for (const [i, v] of listed.entries()) data[i] = v as never;
    return new NDArray(data, shape, dtype);
  }
  check(rawData.length / bytesPerElement(dtype), "numbers");
  const data = allocate(dtype, size);
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength).set(rawData);
  return new NDArray(data, shape, dtype);
}

/** Small types are lists of 32-bit integers: float16 as its bits. */
function listOf(tensor: TensorProto, dtype: DType): readonly (number | bigint)[] {
  if (dtype === "float32") return tensor.floatData;
  if (dtype === "float64") return tensor.doubleData;
  return dtype === "int64" ? tensor.int64Data : tensor.int32Data;
}

function bfloat16(
  { rawData, int32Data }: TensorProto,
  shape: readonly number[],
  check: (count: number, what: string) => void,
): NDArray {
  check(int32Data.length || rawData.length / 2, "numbers");
  const bits = new Uint32Array(sizeOf(shape));
  for (let i = 0; i < bits.length; i++) {
    const half = int32Data[i] ?? (rawData[2 * i] as number) + 256 * (rawData[2 * i + 1] as number);
    bits[i] = half << 16;
  }
  return new NDArray(new Float32Array(bits.buffer), shape, "float32");
}
