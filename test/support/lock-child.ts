/** Asks for the lock of the given folder and says what came of it; holds it until it is killed. */
import { lockRun } from "../../src/train/run-lock.js";

const folder = process.argv[2] as string;
process.send?.("ready");
// Listening keeps the process alive.
process.on("message", async () => {
  try {
    await lockRun(folder);
    process.send?.("taken");
  } catch (error) {
    process.send?.(String(error));
  }
});
