// Long runs of the fuzzer that test/trust/fuzz.test.ts runs for a moment: seeded damage to small valid files, every outcome
// a value or a typed error.
//   node scripts/fuzz.js [--inputs N] [--seed S] [--seconds T]
// Prints how far it is every ten seconds; what it finds goes to the terminal as hexadecimal, and it exits with 1.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..");
process.chdir(root);
const { values } = parseArgs({
  options: { inputs: { type: "string" }, seed: { type: "string" }, seconds: { type: "string" } },
});
const whole = (name, standard) => {
  const value = Number(values[name] ?? standard);
  if (Number.isFinite(value) && value >= 1) return Math.floor(value);
  throw new Error(`--${name} ${values[name]}: expected a whole number from 1`);
};
const seconds = values.seconds === undefined ? Number.POSITIVE_INFINITY : whole("seconds");
const inputs =
  values.inputs === undefined && seconds < Number.POSITIVE_INFINITY ? Number.MAX_SAFE_INTEGER : whole("inputs", 1e6);
const seed = whole("seed", Date.now() % 1e9);

// Beside the packages, so that they are found from there.
const outfile = join(root, `node_modules/.layerwise-test-fuzz-${process.pid}.mjs`);
const entry = join(root, "test/support/fuzz.ts");
await build({
  entryPoints: [entry],
  bundle: true,
  platform: "node",
  format: "esm",
  packages: "external",
  outfile,
  logLevel: "error",
  alias: { "#host": join(root, "src/runtime/host-node.ts") },
});
const { targets, tryInput } = await import(pathToFileURL(outfile).href).finally(() => rm(outfile, { force: true }));

const begin = performance.now();
const elapsed = () => (performance.now() - begin) / 1000;
const tallies = targets.map(() => ({ read: 0, refused: 0 }));
let [done, found, told] = [0, 0, 0];
const progress = () =>
  console.log(`${done.toLocaleString("en")} inputs in ${elapsed().toFixed(0)} s, ${found} findings, seed ${seed}`);
for (; done < inputs && found < 20; done++) {
  if (done % 1024 === 0) {
    if (elapsed() >= seconds) break;
    if (elapsed() - told >= 10) {
      told = elapsed();
      progress();
    }
  }
  const which = done % targets.length;
  const finding = tryInput(targets[which], Math.floor(done / targets.length), seed, tallies[which]);
  if (!finding) continue;
  found++;
  console.log(
    `${finding.target}, input ${finding.input}: ${finding.problem}\n  ${Buffer.from(finding.bytes).toString("hex")}`,
  );
}
progress();
for (const [i, { name }] of targets.entries())
  console.log(
    `  ${name}: ${tallies[i].read.toLocaleString("en")} read, ${tallies[i].refused.toLocaleString("en")} refused`,
  );
process.exit(found > 0 ? 1 : 0);
