export {
  type GenerateOptions,
  Generator,
  type GeneratorOptions,
  type GeneratorType,
  generatorTypes,
} from "./generation/generator.js";
export { type Sampler, type SamplingOptions, sampler } from "./generation/sampling.js";
export { GPT, type GPTConfig, type GPTOptions, gpt } from "./gpt.js";
export * from "./pretrained/index.js";
export * from "./vision/residual-blocks.js";
export * from "./vision/resnet.js";
