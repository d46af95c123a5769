export { GPT, type GPTConfig, type GPTOptions, gpt } from "./gpt.js";
export { fromGPT2 } from "./gpt2-names.js";
