/**
 * The peers: PyTorch where `python3` has it, and packages that are installed into .bench/<peer>, never for users. One that
 * is missing is `{ problem }`, which says why.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const cache = join(import.meta.dirname, "../.bench");
const scripts = join(import.meta.dirname, "peers");

const packages = {
  tfjs: ["@tensorflow/tfjs@4.22.0", "@tensorflow/tfjs-backend-wasm@4.22.0", "@tensorflow/tfjs-backend-webgpu@4.22.0"],
  "jax-js": ["@jax-js/jax@0.1.25"],
};

const names = { tfjs: "TensorFlow.js", "jax-js": "jax-js" };

const known = new Map();

/** `{ name, version, folder }` of a package, which is installed when it is first asked for, or `{ name, problem }`. */
export function packaged(peer) {
  if (!known.has(peer)) known.set(peer, { name: names[peer], ...install(peer) });
  return known.get(peer);
}

function install(peer) {
  const folder = join(cache, peer);
  const version = packages[peer][0].split("@").at(-1);
  const there = packages[peer].every((spec) => existsSync(join(folder, "node_modules", spec.replace(/@[^@]*$/, ""))));
  if (!there) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
    const args = ["install", "--no-audit", "--no-fund", "--save-exact", ...packages[peer]];
    const { status, error } = spawnSync("npm", args, { cwd: folder, encoding: "utf8", shell: onWindows });
    if (status !== 0) return { problem: `npm could not install it${error ? ` (${error.message})` : ""}` };
  }
  return { version, folder };
}

const onWindows = process.platform === "win32";

/** What a script of Node prints as JSON in its last line; it finds the packages of `folder`. */
export function runNode(script, { folder, env = process.env, title }) {
  const args = ["--no-warnings", "--input-type=module", "--eval", script];
  return lastLine(spawnSync(process.execPath, args, { cwd: folder, env, encoding: "utf8", maxBuffer: 2 ** 26 }), title);
}

/** The same of one of our files, in a process of its own. */
export function runFile(file, args, env = {}) {
  const options = { env: { ...process.env, ...env }, encoding: "utf8" };
  return lastLine(spawnSync(process.execPath, ["--no-warnings", file, ...args.map(String)], options), file);
}

function lastLine({ status, stdout, stderr, error }, title) {
  if (status === 0) return JSON.parse(stdout.trim().split("\n").at(-1));
  process.stderr.write(stderr ?? "");
  const cause = error?.message ?? /^.*Error.*$/m.exec(stderr)?.[0].trim() ?? `it ended with ${status}`;
  throw new Error(`${title}: the benchmark failed: ${cause}`);
}

let python;

/** `{ name, version, variants }` or `{ name, problem }`; see `variants`. */
export function pytorch() {
  python ??= { name: "PyTorch", ...findPytorch() };
  return python;
}

function findPytorch() {
  for (const path of ["/usr/bin/python3", "python3"]) {
    const result = spawnSync(path, ["-c", "import torch; print(torch.__version__)"], { encoding: "utf8" });
    if (result.status === 0) return { version: result.stdout.trim(), variants: variants(path) };
  }
  return { problem: "not installed (on Debian: apt-get install python3-torch)" };
}

/**
 * PyTorch as this machine runs it and, where OPENBLAS_CORETYPE makes OpenBLAS take other kernels than it would choose
 * itself, once more with its own choice: `{ label, run(script, args, variables) }`, the first one as the machine has it.
 */
function variants(path) {
  const blas = openBlas();
  const { OPENBLAS_CORETYPE: kernels, OPENBLAS_L2_SIZE: _, ...free } = process.env;
  const found = kernels
    ? [
        [`OpenBLAS with ${kernels} kernels, as set here`, process.env],
        ["OpenBLAS with its own choice of kernels", free],
      ]
    : [[blas ? "OpenBLAS" : "its own BLAS", process.env]];
  return found.map(([label, variables]) => {
    // OpenBLAS has threads of its own: those of OpenMP that spin while they wait take the cores from them. With 2 cores nanoGPT's
    // recipe took three times as long, and the GPT step twice.
    const env = { OMP_WAIT_POLICY: "PASSIVE", ...variables, ...(blas && { LD_LIBRARY_PATH: blas }) };
    const run = (script, args, more = {}) => {
      const options = { env: { ...env, ...more }, encoding: "utf8" };
      const result = spawnSync(path, [join(scripts, script), ...args.map(String)], options);
      return lastLine(result, `PyTorch, ${script}`);
    };
    return { label, run };
  });
}

/** Debian's PyTorch uses whatever BLAS is installed; the reference one is 18 times slower, which would be no contest. */
function openBlas() {
  const installed = "/usr/lib/x86_64-linux-gnu/openblas-pthread";
  if (process.platform !== "linux") return undefined;
  if (existsSync(join(installed, "libblas.so.3"))) return installed;
  const unpacked = join(cache, "blas", installed);
  if (existsSync(join(unpacked, "libblas.so.3"))) return unpacked;
  mkdirSync(cache, { recursive: true });
  if (spawnSync("apt-get", ["download", "libopenblas0-pthread"], { cwd: cache }).status !== 0) return undefined;
  const deb = readdirSync(cache).find((name) => name.startsWith("libopenblas0-pthread") && name.endsWith(".deb"));
  return deb && spawnSync("dpkg", ["-x", deb, "blas"], { cwd: cache }).status === 0 ? unpacked : undefined;
}
