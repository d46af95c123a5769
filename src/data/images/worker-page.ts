import type { Answer, OpenPort, Question } from "./port.js";

/** A Web Worker. */
export const openWebWorker: OpenPort = (answered, died) => {
  // Bundlers look for exactly these words.
  const worker = new Worker(new URL("./worker-browser.js", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => answered(data));
  worker.addEventListener("error", ({ message }) => died(message || "it did not load"));
  return { ask: (question: Question) => worker.postMessage(question), close: () => worker.terminate() };
};
