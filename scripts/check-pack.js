// Packs the package, installs it in an empty project as a user would, and runs the first program of the README there:
// as it stands in JavaScript, type-checked in strict TypeScript, with the native engine and without it.
//
//   node scripts/check-pack.js          after a build
//
// Installing needs the npm registry. The programs then run with every proxy pointed at a closed port and, where the
// machine allows it, in a network namespace of their own: whatever is fetched after the installation fails here.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "layerwise-pack-"));
const closed = "http://127.0.0.1:9";
const offline = { HTTP_PROXY: closed, HTTPS_PROXY: closed, ALL_PROXY: closed, http_proxy: closed, https_proxy: closed };
// A namespace without any interface, where this user may make one: proof against clients that ignore proxies.
const alone = spawnSync("unshare", ["--net", "true"]).status === 0 ? ["unshare", "--net"] : [];

try {
  const program = firstProgram();
  const tarball = pack();
  const native = project("native", tarball, []);
  const web = project("web", tarball, ["--omit=optional"]);
  check("web: the native engine is not there", () => {
    const found = resolveFrom(web, "onnxruntime-node");
    if (found) throw new Error(`expected no onnxruntime-node, Node would find ${found}`);
  });

  for (const [name, path] of [
    ["native", native],
    ["web", web],
  ]) {
    writeFileSync(join(path, "program.js"), program);
    writeFileSync(join(path, "program.ts"), program);
    check(`${name}: the README's program type-checks in strict TypeScript`, () => typeCheck(path));
    check(`${name}: it runs as compiled TypeScript`, () => expectLosses(run(path, ["build/program.js"])));
    check(`${name}: it runs as plain JavaScript`, () => {
      const { stderr } = expectLosses(run(path, ["program.js"]));
      const noticed = /webassembly/i.test(stderr);
      if (name === "web" && !noticed) throw new Error(`expected a notice about WebAssembly on stderr, got:\n${stderr}`);
      if (name === "native" && noticed) throw new Error(`expected the native engine, got:\n${stderr}`);
    });
    check(`${name}: the command line lists the papers`, () => {
      const { stdout } = run(path, ["node_modules/layerwise/dist/cli/main.js", "papers"]);
      if (!stdout.includes("peri-ln")) throw new Error(`expected peri-ln in the list, got:\n${stdout}`);
    });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** The first code block of README.md that imports the package, cut down to a few steps: this checks that it works. */
function firstProgram() {
  const blocks = [
    ...readFileSync(join(root, "README.md"), "utf8").matchAll(/^```(?:ts|js|typescript|javascript)\n(.*?)^```/gms),
  ];
  const program = blocks.map(([, code]) => code).find((code) => /from "layerwise"/.test(code));
  if (!program) throw new Error('README.md: expected a code block that imports from "layerwise"');
  return program.replace(/\bsteps: [\d_]+/g, "steps: 3");
}

/** Where Node would find a package from a folder: a node_modules above the temporary folder counts as well. */
function resolveFrom(from, name) {
  try {
    return createRequire(join(from, "program.js")).resolve(name);
  } catch {
    return undefined;
  }
}

function pack() {
  const { stdout } = exec("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], root);
  const [{ filename, size, entryCount, files }] = JSON.parse(stdout.slice(stdout.indexOf("[")));
  const names = files.map(({ path }) => path);
  for (const needed of ["LICENSE", "README.md", "CHANGELOG.md", "dist/index.js", "dist/index.d.ts", "dist/cli/main.js"])
    if (!names.includes(needed)) throw new Error(`the package lacks ${needed}; was it built?`);
  const stray = names.filter((name) => /^(test|src|bench|scripts|node_modules)\//.test(name));
  if (stray.length > 0) throw new Error(`the package should not hold ${stray.join(", ")}`);
  console.log(`packed: ${entryCount} files, ${(size / 1024).toFixed(0)} KiB`);
  return join(folder, filename);
}

/** An empty project with the package installed, no script of any dependency run. */
function project(name, tarball, flags) {
  const path = join(folder, name);
  mkdirSync(path);
  writeFileSync(join(path, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  exec("npm", ["install", tarball, "--ignore-scripts", "--no-audit", "--no-fund", ...flags], path);
  // The text the program reads, where it asks for a file of its own.
  const [, corpus] = /open\(\s*"([\w.-]+)"/.exec(firstProgram()) ?? [];
  if (corpus) writeFileSync(join(path, corpus), readFileSync(join(root, "LICENSE"), "utf8").repeat(8));
  console.log(`${name}: installed, ${(folderSize(path) / 2 ** 20).toFixed(0)} MiB`);
  return path;
}

function typeCheck(path) {
  const compilerOptions = {
    target: "es2022",
    lib: ["es2023", "dom"],
    module: "nodenext",
    strict: true,
    // Our own declarations are checked as the user's compiler sees them; those of other packages are theirs.
    skipLibCheck: true,
    outDir: "build",
    types: [],
  };
  writeFileSync(join(path, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["program.ts"] }));
  exec(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "."], path);
}

function run(path, args) {
  const [command, ...rest] = [...alone, process.execPath, ...args];
  return exec(command, rest, path, offline);
}

/** At least one finite number on stdout: the program prints its loss. */
function expectLosses(result) {
  const losses = result.stdout.match(/-?\d+\.\d+/g) ?? [];
  if (losses.length === 0) throw new Error(`expected losses on stdout, got:\n${result.stdout}${result.stderr}`);
  return result;
}

function check(name, action) {
  const begin = performance.now();
  action();
  console.log(`ok    ${name} (${((performance.now() - begin) / 1000).toFixed(1)} s)`);
}

function exec(command, args, cwd, extra = {}) {
  const result = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...extra },
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  if (result.error) throw result.error;
  if (result.status === 0) return result;
  throw new Error(
    `${command} ${args.join(" ")} in ${cwd}: exit ${result.status ?? result.signal}\n${result.stdout}${result.stderr}`,
  );
}

function folderSize(path) {
  const { stdout } = exec("du", ["-sk", path], path);
  return Number(stdout.split("\t")[0]) * 1024 || statSync(path).size;
}
