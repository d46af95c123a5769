/** What a worker thread of Node runs. */
import { parentPort } from "node:worker_threads";
import { readWhole } from "./files.js";
import { answerer, type Question } from "./port.js";

const answers = answerer(readWhole, (answer, transfer) => parentPort?.postMessage(answer, transfer));
parentPort?.on("message", (question: Question) => void answers(question));
