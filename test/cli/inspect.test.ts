import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { exportFolder } from "../../src/applications/export-files.js";
import { registerInspect } from "../../src/cli/inspect.js";
import {
  adapt,
  fromPretrained,
  load,
  NDArray,
  nn,
  readSafetensors,
  savePretrained,
  writeSafetensors,
} from "../../src/index.js";
import { inspectModel } from "../../src/inspect/index.js";
import { goldenPath } from "../support/golden.js";

const chat = goldenPath("checkpoints/llama-chat");
const encoder = goldenPath("onnx/encoder.onnx");
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inspect-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** What the command prints. */
async function run(...args: string[]): Promise<string> {
  const program = new Command().exitOverride();
  registerInspect(program);
  let output = "";
  const write = vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    output += String(chunk);
    return true;
  });
  const errors = vi.spyOn(process.stderr, "write").mockImplementation((chunk) => {
    output += String(chunk);
    return true;
  });
  try {
    await program.parseAsync(["inspect", ...args], { from: "user" });
  } finally {
    write.mockRestore();
    errors.mockRestore();
  }
  return output;
}

describe("layerwise inspect of a checkpoint", () => {
  it("lists what can be asked, layers as one, and each line is a query", async () => {
    const listed = await run(chat);
    expect(listed).toMatch(/^model\.layers\.\*\.mlp\.up_proj +output +float32\[1, 8, 48\] +× 2$/m);
    expect(listed).toMatch(/^model\.layers\.\*\.mlp\.up_proj:weight +parameter +float32\[48, 32\] +× 2$/m);
    const queries =
      listed
        .split("\n\n")[0]
        ?.split("\n")
        .slice(1)
        .map((line) => line.split(/ {2,}/)[0] as string) ?? [];
    expect(queries.length).toBeGreaterThan(20);
    const found = await inspectModel(await fromPretrained(chat), NDArray.from([1, 2, 3], "int32", [1, 3]), queries);
    expect(found.length).toBeGreaterThan(40);
  });

  it("prints numbers, and the same ones as JSON, CSV and safetensors", async () => {
    const [csv, saved] = [join(folder, "a.csv"), join(folder, "a.safetensors")];
    const ask = [chat, "--tokens", "5", "6,7", "--query", "model.norm[0, 1:3]"];
    const text = await run(...ask, "--csv", csv, "--save", saved);
    const [json] = JSON.parse(await run(...ask, "--json")) as { name: string; shape: number[]; values: number[][] }[];
    expect(json).toMatchObject({ name: "model.norm:out[0, 1:3]", shape: [2, 32] });
    const { tensors } = await readSafetensors(saved);
    expect(tensors.get("model.norm:out[0, 1:3]")?.toArray()).toEqual(json?.values);
    const lines = (await readFile(csv, "utf8")).trimEnd().split("\n");
    expect(lines).toHaveLength(65);
    expect(lines[34]).toBe(`"model.norm:out[0, 1:3]",1 1,${json?.values[1]?.[1]}`);
    expect(text).toContain("model.norm:out[0, 1:3]  float32[2, 32]");
    expect(text).toContain(json?.values[0]?.[0]?.toPrecision(4));
    const [model, ids] = [await fromPretrained(chat), NDArray.from([5, 6, 7], "int32", [1, 3])];
    const [own] = await inspectModel(model, ids, ["model.norm"]);
    expect(own?.value.toNumbers().slice(32)).toEqual(json?.values.flat());
  });

  it("draws attention over the tokens, and what each layer would say", async () => {
    const text = await run(chat, "--text", "2+2", "--query", "attention(model.layers.1)[0, 1]", "lens", "angular");
    expect(text).toContain("attention(model.layers.1.self_attn)[0, 1]  float32[4, 4]");
    expect(text).toMatch(/^<\|begin_of_… █$/m);
    expect(text).toMatch(/^after +<\|begin_of_… +2 +\+ +2$/m);
    expect(text.match(/^(embedding|layer [01]) .* 0\.\d\d/gm)).toHaveLength(3);
    expect(text).toContain("angular  float32[2, 2]");
  });

  it("gives statistics of many tensors, with a curve over the layers", async () => {
    const path = join(folder, "stats.csv");
    const text = await run(chat, "--text", "2+2", "--query", "grad(model.layers.*.mlp)", "--stats", "--csv", path);
    expect(text).toMatch(/^grad\(model\.layers\.1\.mlp:out\) +\[1, 4, 32\]/m);
    expect(text).toMatch(/^grad\(model\.layers\.\*\.mlp:out\) {2}norm .*[▁█]/m);
    const [head, ...rows] = (await readFile(path, "utf8")).trimEnd().split("\n");
    expect(head).toBe("tensor,kind,dtype,shape,count,mean,std,maximum,norm,zeros,outliers,kurtosis,nonFinite");
    expect(rows).toHaveLength(2);
    expect(rows[0]).toMatch(/^grad\(model\.layers\.0\.mlp:out\),gradient,float32,1 4 32,128,/);
  });

  it("writes a page with a picture of each, and nothing in it is taken for markup", async () => {
    const path = join(folder, "look.html");
    const queries = ["lens", "attention", "angular", "model.layers.*.mlp", "model.norm:weight"];
    await run(chat, "--text", "<b>2</b>", "--query", ...queries, "--report", path);
    const page = await readFile(path, "utf8");
    expect(page.match(/<figure /g)).toHaveLength(1 + 2 + 1 + 2 + 1 + 3);
    expect(page).toContain("head 1");
    expect(page).not.toContain("<b>");
    expect(page).not.toContain("<script");
  });

  it("names what is not finite first", async () => {
    const model = nn.gpt({ layers: 2, width: 8, heads: 2, vocabulary: 11, context: 8 });
    const weight = model.namedVariables().get("model.layers.1.mlp.up_proj.weight");
    const values = (await weight?.data())?.toNumbers() ?? [];
    weight?.set(NDArray.from([Number.NaN, ...values.slice(1)], "float32", weight.shape));
    await savePretrained(model, join(folder, "broken"));
    const text = await run(join(folder, "broken"), "--tokens", "1", "2", "--query", "model.layers.*");
    expect(text).toMatch(/^Not finite:\n {2}model\.layers\.1:out: 16 of 16 values\n\nmodel\.layers\.0:out/);
  });

  it("takes an adapter's folder: its base with the adapter merged", async () => {
    const adapted = await fromPretrained(chat);
    const adapters = adapt.lora(adapted, { rank: 2 });
    for (const [path, variable] of adapted.namedVariables())
      if (path.includes("lora_B"))
        variable.set(NDArray.from(new Float32Array(variable.size).fill(0.05), "float32", variable.shape));
    await adapt.saveAdapter(adapters, join(folder, "adapter"), "default", { base: chat });
    expect(await run(join(folder, "adapter"))).toBe(await run(chat));
    const ask = ["--tokens", "5,6,7", "--query", ":out", "--json"];
    const [own] = JSON.parse(await run(join(folder, "adapter"), ...ask)) as { values: number[][][] }[];
    const [expected] = await inspectModel(adapted, NDArray.from([5, 6, 7], "int32", [1, 3]), [":out"]);
    const largest = Math.max(...(expected?.value.toNumbers() ?? []).map(Math.abs));
    for (const [i, v] of (own?.values.flat(2) ?? []).entries())
      expect(Math.abs(v - (expected?.value.at(i) as number))).toBeLessThan(1e-5 * largest);
  });

  it("takes a run's folder, and says what is wrong with others", async () => {
    const place = join(folder, "run");
    await mkdir(place);
    await writeFile(join(place, "config.yaml"), "");
    await expect(run(place)).rejects.toThrow("this run has left no model yet");
    await savePretrained(nn.gpt({ layers: 1, width: 8, heads: 2, vocabulary: 11, context: 4 }), join(place, "model"));
    expect(await run(place)).toContain("model.layers.*.mlp");
    const long = await run(place, "--tokens", "1,2,3,4,5,6", "--query", "model.norm");
    expect(long).toContain("the last 2 tokens exceed the model's context");
    expect(long).toContain("float32[1, 4, 8]");
    await expect(run(place, "--tokens", "11", "--query", "model.norm")).rejects.toThrow(
      "expected tokens in 0..10, got 11",
    );
    await expect(run(place, "--text", "a", "--query", "model.norm")).rejects.toMatchObject({ code: "file" });
    await expect(run(place, "--query", "model.norm")).rejects.toThrow("give a text, or token ids");
    await expect(run(place, "--text", "a", "--tokens", "1")).rejects.toThrow("give one of");
    await expect(run(place, "--seed", "1")).rejects.toThrow("--seed does not belong to a folder");
    await expect(run(place, "--save", "x")).rejects.toThrow("give a --query");
    await expect(run(join(folder, "none"))).rejects.toThrow("there is no such file or folder");
    await mkdir(join(folder, "empty"));
    await expect(run(join(folder, "empty"))).rejects.toThrow("config.json is missing");
  });
});

describe("layerwise inspect of an ONNX file", () => {
  it("lists its values with the shapes of a run", async () => {
    const listed = await run(encoder, "--dim", "length=3");
    expect(listed).toMatch(/^float32\[1, 3, 3\] +Softmax +\/layers\.0\/Softmax_output_0$/m);
    expect(listed).toMatch(/^float32\[50, 8\] +initializer +embedding\.weight$/m);
    expect(listed).toContain("Shapes are those of a run with ids [1, 3], mask [1, 3]");
  });

  it("runs a decoder as transformers.js loads it, without a past", async () => {
    const output = join(folder, "web");
    await exportFolder(chat, output, { dtypes: ["fp32"] });
    const tokens = ["--tokens", "1,1,1,1", "--query", "attention", "--json"];
    const path = join(output, "onnx/model.onnx");
    const listed = await run(path, "--dim", "sequence_length=4");
    expect(listed).toContain("attention_mask [1, 4]");
    expect(listed).toContain("past_key_values.0.key [1, 1, 0, 16]");
    const inputs = join(folder, "ones.safetensors");
    const ids = NDArray.from([1, 1, 1, 1], "int64", [1, 4]);
    const positions = NDArray.from([0, 1, 2, 3], "int64", [1, 4]);
    await writeSafetensors(
      inputs,
      new Map([
        ["input_ids", ids],
        ["position_ids", positions],
      ]),
    );
    const ask = ["--query", "model.layers.*.self_attn/softmax*", "--inputs", inputs, "--dim", "sequence_length=4"];
    type Values = { values: number[][][][] }[];
    const maps = JSON.parse(await run(path, ...ask, "--json")) as Values;
    const own = JSON.parse(await run(chat, ...tokens)) as Values;
    expect(maps).toHaveLength(2);
    const flat = (all: Values) => all.flatMap(({ values }) => values.flat(3));
    for (const [i, v] of flat(own).entries()) expect(flat(maps)[i]).toBeCloseTo(v, 5);
  });

  it("shows values for given inputs and says what was drawn", async () => {
    const saved = join(folder, "onnx.safetensors");
    const inputs = ["--inputs", goldenPath("onnx/inputs.safetensors")];
    const text = await run(encoder, "--query", "/layers.0/query/Add", "/layers.*/Softmax", ...inputs, "--save", saved);
    expect(text).toContain("input ids is int64[2, 5], given");
    expect(text).toMatch(/^\/layers\.\*\/Softmax_output_0 {2}norm/m);
    const got = (await readSafetensors(saved)).tensors.get("/layers.0/query/Add_output_0")?.toNumbers() ?? [];
    const expected = (await readSafetensors(goldenPath("onnx/expected.safetensors"))).tensors.get("layers.0.query");
    expect(got).toHaveLength(80);
    for (const [i, v] of got.entries()) expect(v).toBeCloseTo(expected?.at(i) as number, 5);
    expect(await run(encoder, "--query", "states", "--dim", "batch=2", "length=3")).toContain("drawn from 0..49");
    await expect(run(encoder, "--query", "states", "--dim", "length")).rejects.toThrow(
      'expected --dim name=size, got "length"',
    );
    await expect(run(encoder, "--text", "a")).rejects.toThrow("--text does not belong to an ONNX file");
  });

  it("writes the tapped file, which gives the value", async () => {
    const tap = join(folder, "tapped.onnx");
    const ask = ["--query", "/layers.1/Tanh", "--json"];
    const before = await run(encoder, ...ask, "--tap-out", tap);
    expect(await run(tap, ...ask)).toBe(before);
    await expect(load(tap)).rejects.toThrow("was not saved by layerwise");
  });
});
