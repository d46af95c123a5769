/** Values inside an ONNX file that PyTorch wrote, against what PyTorch's own hooks saw. */
import { link, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readOnnx } from "../../src/applications/onnx-files.js";
import { encodeGraph, encodeNode, encodeTensor, encodeValueInfo } from "../../src/compile/onnx/encode.js";
import {
  AttributeProtoSchema,
  NodeProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataType,
  TensorProtoSchema,
} from "../../src/compile/onnx/onnx_pb.js";
import { LayerwiseError, NDArray, philoxUniform, readSafetensors } from "../../src/index.js";
import {
  decodeOnnx,
  encodeOnnx,
  inspectOnnx,
  matchingValues,
  type OnnxModel,
  onnxInputs,
  onnxValues,
  tapOnnx,
} from "../../src/inspect/index.js";
import { storedValue } from "../../src/inspect/onnx-values.js";
import { goldenPath } from "../support/golden.js";

const path = goldenPath("onnx/encoder.onnx");
let model: OnnxModel;
let folder = "";
beforeAll(async () => {
  model = await readOnnx(path);
  folder = await mkdtemp(join(tmpdir(), "onnx-"));
});
afterAll(() => rm(folder, { recursive: true }));

const given = async () =>
  onnxInputs(model, { inputs: (await readSafetensors(goldenPath("onnx/inputs.safetensors"))).tensors });

describe("a tapped file", () => {
  it("gives what PyTorch's hooks saw", async () => {
    const { tensors } = await readSafetensors(goldenPath("onnx/expected.safetensors"));
    const nameOf = (module: string): string => {
      if (module === "embedding") return "/embedding/Gather";
      if (/^layers\.\d$/.test(module)) return module === "layers.1" ? "states" : `/${module}/Add_2`;
      return `/${module.replace(/\.(\w+)$/, "/$1")}/Add`;
    };
    const names = [...tensors.keys()];
    expect(names).toHaveLength(13);
    const found = await inspectOnnx(model, names.map(nameOf), await given());
    expect(found).toHaveLength(13);
    for (const [i, name] of names.entries()) {
      const expected = tensors.get(name) as NDArray;
      const got = found[i]?.value as NDArray;
      expect(got.shape).toEqual(expected.shape);
      const largest = Math.max(...expected.toNumbers().map(Math.abs));
      for (let j = 0; j < expected.size; j++)
        expect(Math.abs(got.at(j) - expected.at(j)), `${name} ${j}`).toBeLessThanOrEqual(1e-5 * largest);
    }
  });

  it("keeps all else as it was: operation set, producer, nodes, values", () => {
    const bytes = encodeOnnx(model);
    const again = decodeOnnx(tapOnnx(bytes, ["/layers.0/Softmax_output_0", "states"]));
    expect(again.graph.output.map(({ name }) => name)).toEqual(["states", "/layers.0/Softmax_output_0"]);
    expect(again.opsetImport.map(({ version }) => Number(version))).toEqual([9]);
    again.graph.output.pop();
    expect(encodeOnnx(again)).toEqual(bytes);
  });

  it("keeps other domains and runs their operators", async () => {
    const other = encodeGraph({
      name: "gelu",
      node: [
        encodeNode("first", "FastGelu", ["x"], ["h"], {}, "com.microsoft"),
        encodeNode("second", "Neg", ["h"], ["y"]),
      ],
      input: [encodeValueInfo("x", "float32", [3])],
      output: [encodeValueInfo("y", "float32", [3])],
    }) as OnnxModel;
    expect(onnxValues(other).find(({ name }) => name === "h")).toMatchObject({ operator: "com.microsoft.FastGelu" });
    const inputs = onnxInputs(other, { inputs: new Map([["x", NDArray.from([-1, 0, 2])]]) });
    const [h] = await inspectOnnx(other, ["h"], inputs);
    const gelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
    for (const [i, x] of [-1, 0, 2].entries()) expect(h?.value.at(i)).toBeCloseTo(gelu(x), 5);
  });

  it("gives types that arrays here have not as wider ones, and names what it cannot hold", async () => {
    const cast = (to: number, output: string) => {
      const node = encodeNode(output, "Cast", ["x"], [output]);
      return create(NodeProtoSchema, {
        ...node,
        attribute: [create(AttributeProtoSchema, { name: "to", type: 2, i: BigInt(to) })],
      });
    };
    const other = encodeGraph({
      node: [cast(TensorProto_DataType.UINT32, "unsigned"), cast(TensorProto_DataType.INT16, "short"), cast(8, "text")],
      input: [encodeValueInfo("x", "float32", [2])],
      output: [],
    }) as OnnxModel;
    const inputs = onnxInputs(other, { inputs: new Map([["x", NDArray.from([3, 4])]]) });
    const found = await inspectOnnx(other, ["unsigned", "short"], inputs);
    expect(found.map(({ value }) => [value.dtype, value.toNumbers()])).toEqual([
      ["int64", [3, 4]],
      ["int32", [3, 4]],
    ]);
    await expect(inspectOnnx(other, ["text"], inputs, {}, "a.onnx")).rejects.toThrow(
      'a.onnx: "text": an output is string, which no array here can hold',
    );
  });
});

describe("queries", () => {
  const names = (query: string) => matchingValues(onnxValues(model), query).map(({ name }) => name);

  it("match values and nodes, with stars for any characters", () => {
    expect(names("/layers.1/*").length).toBeGreaterThan(10);
    expect(names("/layers.*/Softmax")).toEqual(["/layers.0/Softmax_output_0", "/layers.1/Softmax_output_0"]);
    expect(names("layers.0.up.bias")).toEqual(["layers.0.up.bias"]);
    expect(() => names("/layers.0/Sotfmax")).toThrow('did you mean "/layers.0/Softmax"?');
    expect(() => names("")).toThrow("nothing in the file");
    expect(() => tapOnnx(encodeOnnx(model), ["stats"], "a.onnx")).toThrow(
      'a.onnx: no value of the graph is called "stats"; did you mean "states"?',
    );
  });

  it("read initialisers from the file, without running it", async () => {
    const [table] = await inspectOnnx(model, ["embedding.weight"], []);
    const { tensors } = await readSafetensors(goldenPath("onnx/expected.safetensors"));
    const ids = (await given())[0]?.value.toNumbers() ?? [];
    const rows = ids.flatMap((id) => table?.value.toNumbers().slice(8 * id, 8 * id + 8) ?? []);
    expect(rows).toEqual(tensors.get("embedding")?.toNumbers());
  });
});

describe("inputs that are not given", () => {
  it("are drawn: ids below the rows of their table, axes by name, the same for the same seed", async () => {
    const drawn = onnxInputs(model, { dims: { batch: 3, length: 40 }, seed: 5 });
    expect(drawn.map(({ name, origin, value }) => [name, origin, value.shape])).toEqual([
      ["ids", "drawn from 0..49", [3, 40]],
      ["mask", "drawn from N(0, 1)", [3, 40]],
    ]);
    const ids = drawn[0]?.value.toNumbers() ?? [];
    expect(Math.min(...ids)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...ids)).toBeLessThan(50);
    expect(new Set(ids).size).toBeGreaterThan(20);
    expect(onnxInputs(model, { dims: { batch: 3, length: 40 }, seed: 5 })).toEqual(drawn);
    expect(onnxInputs(model, { dims: { batch: 3, length: 40 }, seed: 6 })).not.toEqual(drawn);
    expect((await inspectOnnx(model, ["states"], drawn))[0]?.value.shape).toEqual([3, 40, 8]);
  });

  it("and names that the model has not are refused", () => {
    expect(() => onnxInputs(model, { dims: { batc: 2 } })).toThrow(
      'no axis of an input is called "batc"; did you mean "batch"?',
    );
    expect(() => onnxInputs(model, { inputs: new Map([["id", NDArray.from([1])]]) })).toThrow('did you mean "ids"?');
  });
});

describe("stored values", () => {
  const tensor = (fields: object): TensorProto => create(TensorProtoSchema, { name: "w", dims: [2n], ...fields });
  const halves = new Uint8Array([0x80, 0x3f, 0x00, 0xc0]);
  it.each([
    ["float32 as a list", { dataType: 1, floatData: [1, -2] }, "float32", [1, -2]],
    ["float16 as bits", { dataType: 10, int32Data: [0x3c00, 0xc000] }, "float16", [1, -2]],
    ["bfloat16 as bytes", { dataType: 16, rawData: halves }, "float32", [1, -2]],
    ["bfloat16 as a list", { dataType: 16, int32Data: [0x3f80, 0xc000] }, "float32", [1, -2]],
    ["int64 as a list", { dataType: 7, int64Data: [5n, -6n] }, "int64", [5, -6]],
    ["bool as a list", { dataType: 9, int32Data: [1, 0] }, "bool", [1, 0]],
    ["int8 as bytes", { dataType: 3, rawData: new Uint8Array([1, 255]) }, "int8", [1, -1]],
  ])("%s", (_, fields, dtype, numbers) => {
    const value = storedValue(tensor(fields), "a.onnx");
    expect([value.dtype, value.toNumbers()]).toEqual([dtype, numbers]);
  });

  it.each([
    [{ dataType: 1, rawData: new Uint8Array(7) }, 'a.onnx: value "w" has the shape [2] but 1.75 numbers'],
    [{ dataType: 1, floatData: [1] }, 'a.onnx: value "w" has the shape [2] but 1 numbers'],
    [{ dataType: 1, dims: [-3n] }, 'a.onnx: value "w" has the shape [-3]'],
    [{ dataType: 1, dims: [2n ** 62n] }, 'a.onnx: value "w" has the shape'],
    [{ dataType: 8 }, 'a.onnx: value "w" is string'],
    [{ dataType: 99 }, 'a.onnx: value "w" is type 99'],
  ])("%o is refused", (fields, message) => {
    expect(() => storedValue(tensor(fields), "a.onnx")).toThrow(message);
  });
});

describe("files", () => {
  const external = (entries: Record<string, string>): Uint8Array => {
    const weight = create(TensorProtoSchema, {
      name: "w",
      dims: [4n],
      dataType: 1,
      dataLocation: 1,
      externalData: Object.entries(entries).map(([key, value]) => create(StringStringEntryProtoSchema, { key, value })),
    });
    return encodeOnnx(
      encodeGraph({
        node: [encodeNode("add", "Add", ["x", "w"], ["y"])],
        initializer: [weight],
        input: [encodeValueInfo("x", "float32", [4])],
        output: [encodeValueInfo("y", "float32", [4])],
      }) as OnnxModel,
    );
  };
  const write = async (name: string, bytes: Uint8Array): Promise<string> => {
    const place = join(folder, name);
    await writeFile(place, bytes);
    return place;
  };
  const data = new Uint8Array(new Float32Array([9, 9, 1, 2, 3, 4]).buffer);

  it("are read with the values next to them", async () => {
    await write("weights.bin", data);
    const whole = await readOnnx(
      await write("external.onnx", external({ location: "weights.bin", offset: "8", length: "16" })),
    );
    const inputs = onnxInputs(whole, { inputs: new Map([["x", NDArray.from([10, 10, 10, 10])]]) });
    const [w, y] = await inspectOnnx(whole, ["w", "y"], inputs);
    expect(w?.value.toNumbers()).toEqual([1, 2, 3, 4]);
    expect(y?.value.toNumbers()).toEqual([11, 12, 13, 14]);
  });

  it("are refused, by name, where these lie elsewhere or are cut", async () => {
    await write("weights.bin", data);
    await mkdir(join(folder, "inner"), { recursive: true });
    await symlink("/etc/hostname", join(folder, "link.bin"));
    await link(await write("twice.bin", data), join(folder, "inner/twice.bin"));
    const read = async (entries: Record<string, string>) => readOnnx(await write("bad.onnx", external(entries)));
    for (const location of ["../weights.bin", "/etc/hostname", "a/../../b", "C:\\x", ""])
      await expect(read({ location })).rejects.toThrow(/bad\.onnx: value "w" lies in .*expected a file in the folder/);
    await expect(read({ location: "link.bin" })).rejects.toThrow("a link that leads out of the model's folder");
    await expect(read({ location: "twice.bin" })).rejects.toThrow("may not be a hard link");
    await expect(read({ location: "weights.bin", mode: "rw" })).rejects.toThrow(
      'with the key "mode"; expected location',
    );
    await expect(read({ location: "missing.bin" })).rejects.toThrow('value "w" of');
    await expect(read({ location: "weights.bin", offset: "12", length: "16" })).rejects.toThrow(
      "which has 24; is it whole?",
    );
    await expect(read({ location: "weights.bin", offset: "-1" })).rejects.toThrow('at offset "-1"');
    await expect(
      inspectOnnx(decodeOnnx(external({ location: "weights.bin" })), ["y"], [], {}, "a.onnx"),
    ).rejects.toThrow('a.onnx: value "w" lies outside the file');
  });

  it("are refused, by name, where they are broken", async () => {
    const bytes = encodeOnnx(model);
    await expect(readOnnx(await write("text.onnx", new TextEncoder().encode("hello")))).rejects.toThrow(
      /text\.onnx: not a/,
    );
    await expect(readOnnx(await write("empty.onnx", new Uint8Array()))).rejects.toThrow(
      "empty.onnx: not an ONNX model",
    );
    await expect(readOnnx(await write("cut.onnx", bytes.subarray(0, bytes.length - 100)))).rejects.toMatchObject({
      code: "file",
    });
    await expect(readOnnx(folder)).rejects.toThrow("got a folder");
    const unknown = encodeGraph({
      node: [encodeNode("n", "Frobnicate", ["x"], ["y"])],
      input: [encodeValueInfo("x", "float32", [1])],
      output: [encodeValueInfo("y", "float32", [1])],
    }) as OnnxModel;
    await expect(inspectOnnx(unknown, ["y"], onnxInputs(unknown), {}, "odd.onnx")).rejects.toThrow(
      /^odd\.onnx: .*Frobnicate/s,
    );
  });

  it("whatever bytes are wrong, the error is a sentence that names the file, or the file is read", () => {
    const bytes = encodeOnnx(model);
    const places = philoxUniform({ seed: 1, site: "broken" }, 1800);
    let refused = 0;
    for (let i = 0; i < 600; i++) {
      const broken = bytes.slice();
      // Half of them in front, where the graph begins, or behind, where inputs and outputs are.
      const [at, value, end] = places.subarray(3 * i) as unknown as [number, number, number];
      const span = i % 2 ? broken.length : 1500;
      broken[(end < 0.5 ? 0 : broken.length - span) + Math.floor(at * span)] = Math.floor(256 * value);
      try {
        const other = decodeOnnx(broken, "a.onnx");
        const values = onnxValues(other, "a.onnx");
        for (const tensor of other.graph.initializer) storedValue(tensor, "a.onnx");
        tapOnnx(
          broken,
          values.slice(-3).map(({ name }) => name),
          "a.onnx",
        );
        onnxInputs(other, {}, "a.onnx");
      } catch (error) {
        refused++;
        expect(error).toBeInstanceOf(LayerwiseError);
        expect((error as Error).message).toMatch(/^a\.onnx: ./);
      }
    }
    expect(refused).toBeGreaterThan(30);
  });

  it("keep a value in a constant of theirs from being looked for elsewhere", async () => {
    const tensor = encodeTensor("", NDArray.from([1]));
    const t = create(TensorProtoSchema, {
      ...tensor,
      name: "c",
      dataLocation: 1,
      externalData: [create(StringStringEntryProtoSchema, { key: "location", value: "package.json" })],
    });
    const node = create(NodeProtoSchema, {
      opType: "Constant",
      output: ["y"],
      attribute: [create(AttributeProtoSchema, { name: "value", type: 4, t })],
    });
    const odd = encodeGraph({ node: [node], output: [encodeValueInfo("y", "float32", [1])] }) as OnnxModel;
    await expect(inspectOnnx(odd, ["y"], [], {}, "odd.onnx")).rejects.toThrow(
      'odd.onnx: value "c" lies outside the file',
    );
  });
});
