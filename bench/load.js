/** Loads a checkpoint (or loads and saves it), and prints the most memory it took, as JSON. Its own process. */
import { readFileSync } from "node:fs";
import { fromPretrained, savePretrained } from "../dist/index.js";

const [, , folder, saveTo] = process.argv;
const peak = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
const before = peak();
const model = await fromPretrained(folder);
if (saveTo) await savePretrained(model, saveTo);
const bytes = model.parameters().reduce((sum, { size }) => sum + 4 * size, 0);
process.stdout.write(JSON.stringify({ bytes, peak: peak() - before }));
