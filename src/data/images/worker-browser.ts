/** What a Web Worker runs. */
import { fetchBytes } from "./fetch-bytes.js";
import { answerer, type Question } from "./port.js";

const answers = answerer(fetchBytes, (answer, transfer) => globalThis.postMessage(answer, { transfer }));
globalThis.addEventListener("message", ({ data }: MessageEvent<Question>) => void answers(data));
