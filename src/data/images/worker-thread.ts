import { Worker } from "node:worker_threads";
import type { Answer, OpenPort, Question } from "./port.js";

/** A thread of Node. */
export const openThread: OpenPort = (answered, died) => {
  // Without the flags of the process: some (--input-type, --eval) are no flags of a thread.
  const worker = new Worker(new URL("./worker-node.js", import.meta.url), { execArgv: [] });
  let closed = false;
  worker.on("message", (answer: Answer) => answered(answer));
  worker.on("error", (error) => died(error instanceof Error ? error.message : String(error)));
  worker.on("exit", (code) => {
    if (!closed) died(`exit code ${code}`);
  });
  return {
    ask: (question: Question) => worker.postMessage(question),
    close() {
      closed = true;
      void worker.terminate();
    },
  };
};
