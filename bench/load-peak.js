/**
 * Loads the checkpoint folder it is given and writes one token; prints, as JSON, the bytes of its weights and by how much
 * the largest resident size of this process grew up to either point (Linux). A process of its own: a peak never falls.
 */
import { readFileSync } from "node:fs";
import { fromPretrained } from "../dist/data/pretrained-files.js";
import { compile, NDArray } from "../dist/index.js";
import { Generator } from "../dist/models/index.js";
import { tensor } from "../dist/tensor/index.js";

/** Of this program alone: the largest size that `resourceUsage` gives is the parent's where that one was larger. */
const largest = () => Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;

// The engine itself is there before anything is counted.
await compile(() => ({ one: tensor(NDArray.from([1])).add(1) }))({});
const before = largest();
const model = await fromPretrained(process.argv[2]);
const loaded = largest() - before;
const generator = new Generator(model);
await generator.generate([[1, 2, 3]], { maxNewTokens: 1 });
const written = largest() - before;
const weights = model.parameters().reduce((sum, { size }) => sum + 4 * size, 0);
process.stdout.write(JSON.stringify({ weights, loaded, written }));
process.exit(0);
