/** Trains to the end, going on from what is in the given folder; tells every event, and the final weights. */
import { fit as train } from "../../src/train/fit.js";
import { bitsOf, smallModel, smallTraining } from "./small-training.js";

const [folder, steps] = process.argv.slice(2) as [string, string];
const model = smallModel();
const said = (message: unknown): Promise<void> => new Promise((resolve) => process.send?.(message, () => resolve()));
const options = smallTraining(model, {
  steps: Number(steps),
  checkpoints: folder,
  checkpointEvery: 1,
  keep: 2,
  resume: true,
});
try {
  for await (const event of train(options)) await said({ kind: event.kind, step: event.step });
  await said({ bits: await bitsOf(model) });
} catch (error) {
  await said({ error: String(error) });
}
process.disconnect?.();
