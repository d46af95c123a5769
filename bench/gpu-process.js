/** Our step of bench/gpu.js, in a process of its own: prints, as JSON, milliseconds of its steps by WebGPU, and the first and last loss. */
import * as layerwise from "../dist/index.js";
import { gptStep } from "./gpt.js";
import { timed } from "./statistics.js";

const { size, precision, steps } = JSON.parse(process.argv[2]);
const { step } = gptStep(layerwise, size, { backend: "webgpu" }, precision);
const lossFirst = await step();
const stepMilliseconds = await timed(step, steps, 5);
console.log(JSON.stringify({ stepMilliseconds, lossFirst, lossLast: await step() }));
process.exit(0); // the engine's threads are no reason to stay
