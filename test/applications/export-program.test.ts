/** Exports of any model, in plain ONNX Runtime; and what a changed weight, operation or engine leads to. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  compile,
  exportFolder,
  exportOnnx,
  inspect,
  NDArray,
  nn,
  philoxNormal,
  type Tensor,
  training,
  verifyExport,
  writeOnnx,
} from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";

const scratch = mkdtempSync(join(tmpdir(), "layerwise-export-program-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const checkpoint = new URL("../golden/checkpoints/qwen3", import.meta.url).pathname;

const values = (shape: number[], site = "x"): NDArray =>
  new NDArray(
    philoxNormal(
      { seed: 7, site },
      shape.reduce((a, b) => a * b, 1),
    ),
    shape,
    "float32",
  );

/** What plain ONNX Runtime makes of a file. */
async function plain(path: string, feeds: Record<string, NDArray>): Promise<Record<string, number[]>> {
  const session = await InferenceSession.create(path);
  const inputs = Object.entries(feeds).map(
    ([name, { data, shape, dtype }]) =>
      [name, new OrtTensor(dtype as "float32", data as Float32Array, [...shape])] as const,
  );
  const outputs = await session.run(Object.fromEntries(inputs));
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { data }]) => [name, Array.from(data as Float32Array, Number)]),
  );
}

describe("any model of ours", () => {
  it("a convolution net: batch norm, pooling, a classifier, for any batch", async () => {
    const model = nn.cifarResNet({ depth: 8, width: 8 });
    const train = compile(({ x }) => ({ y: training(() => model.apply(x as Tensor)) }));
    await train({ x: values([4, 3, 8, 8]) });
    const path = join(scratch, "net.onnx");
    await writeOnnx(await exportOnnx(model, { image: { dtype: "float32", shape: ["batch", 3, 8, 8] } }), path);
    for (const batch of [1, 5]) {
      const image = values([batch, 3, 8, 8], `${batch}`);
      const { y } = await compile(({ image }) => ({ y: model.apply(image as Tensor) }))({ image });
      expect(relativeError((await plain(path, { image })).output as number[], (y as NDArray).toNumbers())).toBeLessThan(
        1e-5,
      );
    }
    expect((await verifyExport(path))[0]?.isRight).toBe(true);
  });

  it("a language model without a cache, of any length, in float32, float16 and 8 bits", async () => {
    const model = nn.gpt({ layers: 2, width: 32, heads: 2, vocabulary: 11, context: 64 });
    const tokens = NDArray.from([[1, 2, 3, 4, 10, 0, 7]], "int32");
    const { y } = await compile(({ tokens }) => ({ y: model.apply(tokens as Tensor) }))({ tokens });
    for (const [dtype, error] of [
      ["fp32", 1e-5],
      ["fp16", 5e-3],
      ["q8", 0.1],
    ] as const) {
      const path = join(scratch, `gpt-${dtype}.onnx`);
      await writeOnnx(
        await exportOnnx(
          ({ tokens }) => ({ logits: model.apply(tokens as Tensor) }),
          { tokens: { dtype: "int32", shape: ["batch", "length"] } },
          { dtype, longest: { length: 64 } },
        ),
        path,
      );
      expect(
        relativeError((await plain(path, { tokens })).logits as number[], (y as NDArray).toNumbers()),
        dtype,
      ).toBeLessThan(error);
    }
  });

  it("a function with two inputs and two outputs, parametrised weights stored as used, the model untouched", async () => {
    const layer = new nn.Linear(4, 3);
    await nn.compand(layer);
    const path = join(scratch, "two.onnx");
    const pair = { dtype: "float32", shape: ["n", 4] } as const;
    await writeOnnx(
      await exportOnnx(
        ({ a, b }) => ({ sum: layer.apply((a as Tensor).add(b as Tensor)), first: (a as Tensor).mul(2) }),
        { a: pair, b: pair },
      ),
      path,
    );
    const [a, b] = [values([3, 4], "a"), values([3, 4], "b")];
    const { y } = await compile(({ a, b }) => ({ y: layer.apply((a as Tensor).add(b as Tensor)) }))({ a, b });
    const got = await plain(path, { a, b });
    expect(relativeError(got.sum as number[], (y as NDArray).toNumbers())).toBeLessThan(1e-5);
    expect(
      relativeError(
        got.first as number[],
        a.toNumbers().map((v) => 2 * v),
      ),
    ).toBe(0);
    const whole = join(scratch, "companded.onnx");
    await writeOnnx(await exportOnnx(layer, { x: pair }), whole);
    const names = inspect.onnxValues(inspect.decodeOnnx(readFileSync(whole))).map(({ name }) => name);
    expect(names.filter((name) => name.includes("parametrizations"))).toEqual([]);
    expect(layer.parametrizations).toHaveLength(1);
  });

  it("says what cannot be of any size, and what a model for inference must not do", async () => {
    const pooled = new nn.Lambda((x) => x.adaptiveAveragePool2d([2, 2]));
    await expect(exportOnnx(pooled, { x: { dtype: "float32", shape: [1, 3, "height", "width"] } })).rejects.toThrow(
      /export: .*(size|sizes)/,
    );
    await expect(exportOnnx(pooled, {})).rejects.toThrow("at least one input");
  });
});

describe("the probe of an export", () => {
  const folder = join(scratch, "qwen3");
  const file = join(folder, "onnx/model.onnx");
  const data = `${file}_data`;
  beforeAll(async () => {
    await exportFolder(checkpoint, folder, { dtypes: ["fp32", "q4"], maxInlineBytes: 0 });
  });

  it.each(["cpu", "wasm"] as const)("is right on %s, for all files of the folder", async (backend) => {
    const verified = await verifyExport(folder, { backend });
    expect(verified.map(({ isRight, problem }) => ({ isRight, problem }))).toEqual([
      { isRight: true, problem: "" },
      { isRight: true, problem: "" },
    ]);
  });

  it.each(["cpu", "wasm"] as const)("on %s catches one changed weight, and names it", async (backend) => {
    const kept = readFileSync(data);
    const bytes = Buffer.from(kept);
    const model = inspect.decodeOnnx(readFileSync(file));
    const weight = model.graph.initializer.find(({ name }) => name === "model.layers.1.mlp.up_proj.weight");
    const offset = Number(weight?.externalData.find(({ key }) => key === "offset")?.value);
    bytes.writeFloatLE(3, offset + 40);
    writeFileSync(data, bytes);
    const [first] = await verifyExport(file, { backend });
    writeFileSync(data, kept);
    expect(first?.isRight).toBe(false);
    expect(first?.changedWeights).toEqual(["model.layers.1.mlp.up_proj.weight"]);
    expect(first?.firstWrongNode).toMatch(/^model\.layers\.1\.mlp\.up_proj/);
    expect(first?.problem).toContain("model.layers.1.mlp.up_proj.weight changed after the export");
  });

  it.each(["cpu", "wasm"] as const)("on %s catches one changed operation, and names it", async (backend) => {
    const model = inspect.decodeOnnx(readFileSync(file));
    const node = model.graph.node.find(
      ({ opType, name }) => opType === "Softmax" && name.startsWith("model.layers.1.self_attn"),
    );
    if (node) node.opType = "LogSoftmax";
    const changed = join(folder, "onnx/changed.onnx");
    writeFileSync(changed, inspect.encodeOnnx(model));
    copyFileSync(data, `${changed}_data`);
    const [first] = await verifyExport(changed, { backend });
    rmSync(changed);
    expect(first).toMatchObject({ isRight: false, isGraphChanged: true, firstWrongNode: node?.output[0] });
    expect(first?.problem).toContain("its graph was changed after the export");
  });

  it("catches an engine that is wrong where the file is whole, and says so", async () => {
    // A file whose probe expects other numbers is what a wrong engine looks like.
    const model = inspect.decodeOnnx(readFileSync(join(scratch, "net.onnx")));
    const entry = model.metadataProps.find(({ key }) => key === "layerwise.probe");
    const probe = JSON.parse(entry?.value ?? "");
    probe.outputs.output.values[0] += probe.outputs.output.rms;
    if (entry) entry.value = JSON.stringify(probe);
    const path = join(scratch, "wrong.onnx");
    writeFileSync(path, inspect.encodeOnnx(model));
    const [first] = await verifyExport(path);
    expect(first).toMatchObject({
      isRight: false,
      changedWeights: [],
      isGraphChanged: false,
      firstWrongNode: undefined,
    });
    expect(first?.problem).toMatch(/backend "cpu" .* is off by .*every node by itself is right/);
  });

  it("refuses files without a probe, broken ones, and folders without files", async () => {
    const bare = new URL("../golden/onnx/encoder.onnx", import.meta.url).pathname;
    await expect(verifyExport(bare)).rejects.toThrow("carries no probe");
    const model = inspect.decodeOnnx(readFileSync(join(scratch, "net.onnx")));
    const entry = model.metadataProps.find(({ key }) => key === "layerwise.probe");
    for (const [text, message] of [
      ["{", "its probe is not JSON"],
      ['{"engine":1}', "its probe is broken at engine"],
    ] as const) {
      if (entry) entry.value = text;
      const path = join(scratch, "broken.onnx");
      writeFileSync(path, inspect.encodeOnnx(model));
      await expect(verifyExport(path)).rejects.toThrow(message);
    }
    await expect(verifyExport(join(scratch, "nowhere"))).rejects.toThrow("expected an ONNX file, or a folder");
  });
});
