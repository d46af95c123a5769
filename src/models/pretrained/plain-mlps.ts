import { geluMLP, geluTanhMLP, reluMLP } from "../../nn/index.js";

/** MLPs without a gate, by the name of their activation in a configuration. */
export const plainMLPs = { gelu: geluMLP, gelu_new: geluTanhMLP, gelu_pytorch_tanh: geluTanhMLP, relu: reluMLP };
