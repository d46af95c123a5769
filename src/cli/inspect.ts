/** `layerwise inspect <model>`: any inner tensor or gradient, as numbers, table and picture. */
import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { readOnnx } from "../applications/onnx-files.js";
import { failFile } from "../data/disk.js";
import { readSafetensors, writeSafetensors } from "../data/safetensors-file.js";
import {
  encodeOnnx,
  type Finding,
  inspectable,
  inspectModel,
  inspectOnnx,
  matchingValues,
  type OnnxModel,
  type OnnxValue,
  onnxInputs,
  onnxValues,
  tapOnnx,
} from "../inspect/index.js";
import { inspectReport } from "../report/inspect-page.js";
import type { BackendName, CompileOptions } from "../runtime/index.js";
import type { Fact } from "../studies/study-report.js";
import { fail, LayerwiseError } from "../tensor/errors.js";
import { formatShape, type NDArray } from "../tensor/index.js";
import { engineOptions } from "./generate.js";
import { asJson, statisticsCsv, valuesCsv } from "./inspect-files.js";
import { isFile, openModel } from "./inspect-sources.js";
import {
  findingText,
  lensText,
  modelText,
  notFiniteText,
  onnxText,
  type Reading,
  statisticsText,
  visible,
} from "./inspect-text.js";
import { wholeNumber } from "./numbers.js";
import { cut } from "./text-table.js";

interface Options {
  readonly query?: string[];
  readonly text?: string;
  readonly file?: string;
  readonly tokens?: string[];
  readonly inputs?: string;
  readonly dim?: string[];
  readonly seed?: number;
  readonly stats?: true;
  readonly json?: true;
  readonly csv?: string;
  readonly save?: string;
  readonly report?: string;
  readonly tapOut?: string;
  readonly backend?: BackendName;
  readonly threads?: number;
}

const help = `
Without --query: everything that can be asked for. Of a checkpoint, an adapter or a run, a query is
  model.layers.*.mlp                  what a module returns; ":in" what it gets. * is one part of a path, ** any number
  model.layers.0.mlp.up_proj:weight   a parameter
  model.layers.0.self_attn/softmax    an operation inside a module
  grad(model.layers.*.mlp)            the gradient of the loss on the text, of an output or a parameter
  attention(model.layers.2)           who looks at whom [batch, heads, tokens, keys]; attention: of all layers
  lens                                the likeliest next token after every layer (logit lens)
  angular                             the angular distance between the streams of any two layers
with an index at its end, if only a part is wanted: attention(model.layers.2)[0, 3], model.norm[0, -1].
Of an ONNX file it is the name of a value or a node, where * is any characters.

Examples:
  $ layerwise inspect models/pythia-70m
  $ layerwise inspect models/pythia-70m --text "The sky is" --query lens "attention(model.layers.2)[0, 3]"
  $ layerwise inspect runs/<run> --file held-out.txt --query "grad(model.layers.*.mlp)" --stats --report look.html
  $ layerwise inspect models/pythia-70m --query "**.mlp.*:weight" --save mlps.safetensors
  $ layerwise inspect model.onnx --query "/layers.3/*" --dim batch=1 length=8 --seed 1`;

export function registerInspect(program: Command): void {
  program
    .command("inspect")
    .description("look inside a model: any tensor or gradient, attention, what each layer would say")
    .argument("<model>", "folder of a checkpoint, an adapter or a run; or an ONNX file")
    .option("--query <queries...>", "what to show")
    .option("--text <text>", "the input")
    .option("--file <path>", "the input, as a text file")
    .option("--tokens <ids...>", "the input, as token ids")
    .option("--inputs <path>", "inputs of an ONNX file as safetensors; the others are drawn")
    .option("--dim <name=size...>", "sizes of named axes of an ONNX file (default 1)")
    .option("--seed <n>", "of inputs that are drawn", wholeNumber)
    .option("--stats", "statistics instead of numbers; always so for more than 4 tensors in the terminal")
    .option("--json", "as JSON")
    .option("--csv <path>", "write a line for each value, or with --stats for each tensor")
    .option("--save <path>", "write the tensors as safetensors")
    .option("--report <path>", "write an HTML page with pictures")
    .option("--tap-out <path>", "write the ONNX file with the queried values as outputs")
    .option("--backend <name>", "cpu, webgpu or wasm")
    .option("--threads <n>", "threads of the engine", wholeNumber)
    .addHelpText("after", help)
    .action(inspect);
}

const print = (lines: readonly string[]): void => {
  process.stdout.write(`${lines.join("\n")}\n`);
};
const json = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
};
const width = (): number => process.stdout.columns ?? 100;

async function inspect(path: string, options: Options): Promise<void> {
  const misplaced = (
    isFile(path) ? (["text", "file", "tokens"] as const) : (["inputs", "dim", "seed", "tapOut"] as const)
  ).find((name) => options[name] !== undefined);
  if (misplaced)
    fail(
      "argument",
      `inspect: --${misplaced.replace("tapOut", "tap-out")} does not belong to ${isFile(path) ? "an ONNX file" : "a folder"}`,
    );
  const outputs = (["csv", "save", "report", "tapOut"] as const).some((name) => options[name] !== undefined);
  if (outputs && !options.query) fail("argument", "inspect: give a --query; without one there is nothing to write");
  await (isFile(path) ? inspectFile(path, options) : inspectFolder(path, options));
}

async function inspectFolder(path: string, options: Options): Promise<void> {
  const engine = engineOptions(options);
  const { model, input, tokens, say, left } = await openModel(path, options, engine);
  if (left > 0) process.stderr.write(`inspect: the last ${left} tokens exceed the model's context and are left out\n`);
  if (!options.query) {
    const points = inspectable(model, input?.shape[1]);
    if (options.json) return json(points);
    const hint = `Shapes are for ${input?.shape[1] ?? Math.min(8, model.config.context)} tokens. Also: attention, lens, angular, grad(…); ":in" of modules; operations as path/name (--json lists all).`;
    return print([...modelText(points, [...model.namedModules().keys()], width()), "", hint]);
  }
  const findings = await inspectModel(model, input, options.query, engine);
  const facts = tokens
    ? [{ label: `Input, ${tokens.length} tokens`, value: cut(tokens.map(visible).join("·"), 400) }]
    : [];
  await show(path, findings, options, facts, { tokens, say });
}

async function inspectFile(path: string, options: Options): Promise<void> {
  const engine = engineOptions(options);
  const model = await readOnnx(path);
  const given = options.inputs === undefined ? undefined : (await readSafetensors(options.inputs)).tensors;
  const dims = dimsOf(options.dim ?? []);
  const drawing = { dims, ...(given && { inputs: given }), ...(options.seed !== undefined && { seed: options.seed }) };
  const values = onnxValues(model, path);
  const { query } = options;
  if (!query) {
    const known = await withShapes(model, values, drawing, engine, path);
    return options.json ? json(known.values) : print([...onnxText(known.values, width()), "", known.note]);
  }
  const wanted = query.flatMap((one) => matchingValues(values, one));
  if (options.tapOut !== undefined)
    await write(
      options.tapOut,
      tapOnnx(
        encodeOnnx(model),
        wanted.map(({ name }) => name),
        path,
      ),
    );
  const runs = wanted.some(({ kind }) => kind !== "initializer");
  const inputs = runs ? onnxInputs(model, drawing, path) : [];
  const facts = inputs.map(({ name, origin, value }) => ({
    label: name,
    value: `${value.dtype}${formatShape(value.shape)}, ${origin}`,
  }));
  if (!options.json)
    for (const { label, value } of facts) process.stderr.write(`inspect: input ${visible(label)} is ${value}\n`);
  const findings = await inspectOnnx(model, query, inputs, engine, path);
  const found = new Set(findings.map(({ name }) => name));
  for (const { name, dtype } of wanted)
    if (!found.has(name))
      process.stderr.write(`inspect: ${visible(name)} is ${dtype}, which no array here can hold; left out\n`);
  await show(path, findings, options, facts, {});
}

function dimsOf(pairs: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, name = "", size] =
        /^(.+)=(\d+)$/.exec(pair) ?? fail("argument", `inspect: expected --dim name=size, got "${pair}"`);
      return [name, Number(size)];
    }),
  );
}

/** Few files say the shapes of inner values: they are those of one run. */
async function withShapes(
  model: OnnxModel,
  values: readonly OnnxValue[],
  drawing: Parameters<typeof onnxInputs>[1],
  engine: CompileOptions,
  path: string,
): Promise<{ readonly values: readonly OnnxValue[]; readonly note: string }> {
  try {
    const inputs = onnxInputs(model, drawing, path);
    const names = values.filter(({ kind }) => kind !== "initializer").map(({ name }) => name);
    const arrays = new Map(
      (await inspectOnnx(model, names, inputs, engine, path)).map(({ name, value }) => [name, value]),
    );
    const measured = values.map((value) => {
      const array = arrays.get(value.name);
      return array ? { ...value, shape: array.shape, dtype: array.dtype } : value;
    });
    const said = inputs.map(({ name, value }) => `${visible(name)} ${formatShape(value.shape)}`).join(", ");
    return {
      values: measured,
      note: `Shapes are those of a run with ${said || "no inputs"}; --dim name=size changes them.`,
    };
  } catch (error) {
    if (!(error instanceof LayerwiseError)) throw error;
    return { values, note: `Shapes are those that the file declares, as it cannot be run here: ${error.message}` };
  }
}

async function show(
  path: string,
  findings: readonly Finding[],
  options: Options,
  facts: readonly Fact[],
  reading: Omit<Reading, "width">,
): Promise<void> {
  const { save, csv, report, stats = false, query = [] } = options;
  if (save !== undefined) await writeSafetensors(save, new Map(findings.map(({ name, value }) => [name, value])));
  if (csv !== undefined) await write(csv, stats ? statisticsCsv(findings) : valuesCsv(findings));
  if (report !== undefined) {
    const command = `layerwise inspect ${path} --query ${query.map((one) => JSON.stringify(one)).join(" ")}`;
    const tokens = reading.tokens?.map(visible);
    const say = reading.say && ((id: number) => visible(reading.say?.(id) ?? ""));
    await write(report, inspectReport({ title: `Inside ${path}`, command, facts, findings, tokens, say }));
  }
  if (options.json) return json(findings.map((finding) => asJson(finding, stats)));
  print(asText(findings, stats, { ...reading, width: width() }));
}

const write = (path: string, content: string | Uint8Array | Iterable<string>): Promise<void> =>
  writeFile(path, content).catch((error) => failFile(path, "could not be written", error));

function asText(findings: readonly Finding[], stats: boolean, reading: Reading): string[] {
  const value = (name: string): NDArray | undefined => findings.find((finding) => finding.name === name)?.value;
  const [token, probability] = [value("lens/token"), value("lens/probability")];
  const lens = token && probability && !stats ? [...lensText(token, probability, reading), ""] : [];
  const others = lens.length > 0 ? findings.filter(({ kind }) => kind !== "lens") : findings;
  const numbers = stats || others.length > 4 ? [] : others.flatMap((finding) => [...findingText(finding, reading), ""]);
  const measured = others.filter(({ kind }) => kind !== "angular");
  const table = measured.length > 0 ? statisticsText(measured, reading.width) : [];
  return [...notFiniteText(findings), ...lens, ...numbers, ...table];
}
