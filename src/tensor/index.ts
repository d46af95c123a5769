/** Everything about tensors. Importing it is what gives `Tensor` its methods. */
// Imported for what they do: each family gives `Tensor` its methods, also where only its types are exported below.
import "./convolution.js";
import "./pooling.js";
import "./reduction.js";
import "./shaping.js";

export { autocast } from "./autocast.js";
export { type BatchNormalized, batchNorm, channelAffine } from "./channels.js";
export {
  arange,
  type ConstantAttributes,
  constant,
  constantValue,
  eye,
  full,
  type InputAttributes,
  input,
  ones,
  onesLike,
  type TensorLike,
  tensor,
  zeros,
  zerosLike,
} from "./constant.js";
export { after, type Backward, customGradient, stopGradient, straightThrough } from "./control.js";
export type { ConvolutionOptions, ConvolutionTransposeOptions, Padding, PerAxis } from "./convolution.js";
export {
  allocate,
  bytesPerElement,
  type DType,
  dtypes,
  fromHalf,
  isFloat,
  isInteger,
  type TypedArray,
  toHalf,
} from "./dtype.js";
export { type GeluOptions, where } from "./elementwise.js";
export { type ErrorCode, fail, LayerwiseError } from "./errors.js";
export { grad, vectorJacobian } from "./gradient.js";
export { reachable } from "./graph.js";
export { embedding, oneHot } from "./indexing.js";
export { einsum, linear } from "./matrix.js";
export { NDArray, type Nested } from "./ndarray.js";
export { type CrossEntropyOptions, crossEntropy, type LayerNormOptions, noTarget } from "./normalization.js";
export { hashSite, philoxBernoulli, philoxNormal, philoxUniform, type Stream } from "./philox.js";
export type { AveragePoolOptions, PoolOptions, ResizeOptions } from "./pooling.js";
export { draw, normalArray, type RandomAttributes, random } from "./random.js";
export type { Axes, ReduceOptions, Sorted } from "./reduction.js";
export { broadcastShapes, formatShape, normalizeAxes, normalizeAxis, type Shape, sameShape, sizeOf } from "./shape.js";
export { concat, type PadOptions, type SliceOptions, stack, swapsLast, triangle } from "./shaping.js";
export {
  blockedDomain,
  contribDomain,
  defineOperation,
  defineSingle,
  type GradientContext,
  type Lowering,
  makeNode,
  type Node,
  type OnnxAttributes,
  type Operation,
  type OutputSpec,
  operations,
  setEvaluator,
  type Target,
  Tensor,
} from "./tensor.js";
export {
  beginning,
  currentPath,
  currentTrace,
  inference,
  isTraining,
  newTrace,
  type Observer,
  recordPoint,
  repeating,
  structureChanged,
  structureRevision,
  type Trace,
  training,
  withPath,
  withTrace,
} from "./trace.js";
export { type DeviceArray, isVariable, Variable, type VariableOptions } from "./variable.js";
