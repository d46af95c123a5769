/**
 * The training step in a process of its own: prints, as JSON, milliseconds from the start of the process until the library is
 * imported, then to draw the first weights, to trace and compile the step, to its first call done (from the start again), and the largest resident
 * size after three calls.
 *
 *   node bench/step-process.js '<size as JSON>'      (after npm run build)
 */
const layerwise = await import("../dist/index.js");
const { gptStep } = await import("./gpt.js");
const { peakMemory } = await import("./peak.js");

const imported = performance.now();
await layerwise.defaultBackend(); // the engine itself is there before the build is timed
const begun = performance.now();
const { prepare, step } = gptStep(layerwise, JSON.parse(process.argv[2]));
const drawn = performance.now();
await prepare();
const built = performance.now();
await step();
const first = performance.now();
for (let i = 0; i < 2; i++) await step();
console.log(JSON.stringify({ imported, weights: drawn - begun, build: built - drawn, first, peak: peakMemory() }));
process.exit(0);
