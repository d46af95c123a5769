export { Bert, type BertInputs, type BertOptions, bert } from "./bert.js";
export { bertOptions } from "./bert-layout.js";
export type { Decoder } from "./generation/decoder.js";
export { ExportedDecoder, type ExportedSizes } from "./generation/exported-decoder.js";
export {
  type GenerateOptions,
  Generator,
  type GeneratorOptions,
  type GeneratorType,
  generatorTypes,
} from "./generation/generator.js";
export { type Sampler, type SamplingOptions, sampler } from "./generation/sampling.js";
export { GPT, type GPTConfig, type GPTOptions, gpt } from "./gpt.js";
export type { Readout } from "./graph-readout.js";
export {
  GraphTransformer,
  type GraphTransformerOptions,
  graphTransformer,
  type PositionEncoding,
  randomSignFlip,
} from "./graph-transformer.js";
export * from "./pretrained/index.js";
export {
  type ReadOutput,
  RecurrentLM,
  type RecurrentLMOptions,
  recurrentLM,
  resetRecurrentLM,
} from "./recurrent-lm.js";
export * from "./vision/densenet.js";
export type { IBNVariant } from "./vision/ibn-variant.js";
export * from "./vision/inpainting.js";
export * from "./vision/nfnet.js";
export { PatchEmbedding, resizePositions } from "./vision/patch-embedding.js";
export * from "./vision/residual-blocks.js";
export * from "./vision/resnet.js";
export * from "./vision/swin.js";
export { ViT, type ViTOptions, vit } from "./vision/vit.js";
export { vitOptions } from "./vision/vit-layouts.js";
