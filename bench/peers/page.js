/**
 * What every page of bench/pages.js does: the first step, timed from the page's own first script on, then some more. What the
 * first and the last one give is passed on, so that a step that computes nothing is noticed.
 */
import { timed } from "../statistics.js";

export function measure(prepare) {
  const started = prepare().then(async (step) => {
    const first = await step();
    return { step, first, start: performance.now() - globalThis.begun };
  });
  started.catch(() => undefined);
  globalThis.measured = async (count) => {
    try {
      const { step, first, start } = await started;
      const times = await timed(step, count, 1);
      return { start, times, losses: [first, await step()] };
    } catch (error) {
      return { problem: String(error?.message ?? error).split("\n")[0] };
    }
  };
}
