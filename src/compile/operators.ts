/** Every ONNX operator that a lowering may emit: what a file of ours can hold. */
export const emittedOperators: ReadonlySet<string> = new Set(
  (
    "Abs Add And ArgMax ArgMin Atan AveragePool Cast Ceil Concat Conv ConvTranspose Cos CumSum " +
    "Div Equal Erf Exp Expand Floor Gather GatherElements Gelu Gemm Greater GreaterOrEqual Identity IsNaN " +
    "LayerNormalization Less LessOrEqual Log LogSoftmax MatMul Max MaxPool Min Mod Mul Neg Not Or " +
    "Pad Pow Reciprocal ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Round ScatterElements ScatterND Sigmoid Sign " +
    "SimplifiedLayerNormalization Sin Slice Softmax Softplus Sqrt Sub Tanh TopK Transpose Unsqueeze Where Xor"
  ).split(" "),
);
