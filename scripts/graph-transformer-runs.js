// Trains every variant of the graph transformer on small CLUSTER graphs and prints a table: node accuracy by seed, and
// the training loss after 50 steps. After npm run build: node scripts/graph-transformer-runs.js [seeds] [steps]
import "../dist/index.js";
import { graphScale, graphVariants, trainOnClusters } from "../dist/studies/graph-clusters.js";

const [seeds = 2, steps = graphScale.steps] = process.argv.slice(2).map(Number);
const fixed = (numbers) => numbers.map((x) => x.toFixed(3)).join("  ");
for (const [name, variant] of Object.entries(graphVariants)) {
  const start = performance.now();
  const runs = [];
  for (let seed = 1; seed <= seeds; seed++)
    runs.push(await trainOnClusters(variant, { seed, scale: { ...graphScale, steps } }));
  const early = runs.map(({ losses }) => losses.slice(40, 50).reduce((a, b) => a + b, 0) / 10);
  const seconds = (performance.now() - start) / 1000 / seeds;
  console.log(
    `${name.padEnd(34)} accuracy ${fixed(runs.map(({ accuracy }) => accuracy))}   loss at step 50 ${fixed(early)}   ${seconds.toFixed(1)} s a run`,
  );
}
