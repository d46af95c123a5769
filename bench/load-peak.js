/**
 * Loads the checkpoint folder it is given and writes one token; prints, as JSON, the bytes of its weights and by how much
 * the largest resident size of this process grew up to either point (Linux). A process of its own: a peak never falls.
 */
import { fromPretrained } from "../dist/data/pretrained-files.js";
import { compile, NDArray } from "../dist/index.js";
import { Generator } from "../dist/models/index.js";
import { tensor } from "../dist/tensor/index.js";
import { peakMemory } from "./peak.js";

// The engine itself is there before anything is counted.
await compile(() => ({ one: tensor(NDArray.from([1])).add(1) }))({});
const before = peakMemory();
const model = await fromPretrained(process.argv[2]);
const loaded = peakMemory() - before;
const generator = new Generator(model);
await generator.generate([[1, 2, 3]], { maxNewTokens: 1 });
const written = peakMemory() - before;
const weights = model.parameters().reduce((sum, { size }) => sum + 4 * size, 0);
process.stdout.write(JSON.stringify({ weights, loaded, written }));
process.exit(0);
