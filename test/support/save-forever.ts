import { NDArray } from "../../src/tensor/ndarray.js";
import { saveCheckpoint } from "../../src/train/checkpoint.js";

/** Saves checkpoint after checkpoint into the given folder until it is killed; says so after the first. */
const folder = process.argv[2] as string;
for (let step = 1; ; step++) {
  const model = new Map([["w", NDArray.from(new Array(50_000).fill(step), "float32")]]);
  await saveCheckpoint(folder, { step, model, optimizer: model, state: {} }, { keep: 1 });
  if (step === 1) process.send?.("saved");
}
