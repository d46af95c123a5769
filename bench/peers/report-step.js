/** Prints, as JSON, how long each training step takes after the first one, with a peer's library in this process. */
import { gptTokens } from "../gpt.js";
import { timed } from "../statistics.js";

export async function reportStep(gptStep, library, size, count) {
  const { step, parameters } = gptStep(library, size, gptTokens(size));
  const lossFirst = await step();
  console.log(JSON.stringify({ parameters, lossFirst, times: await timed(step, count) }));
}
