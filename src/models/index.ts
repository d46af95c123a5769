export { GPT, type GPTConfig, type GPTOptions, gpt } from "./gpt.js";
export * from "./pretrained/index.js";
