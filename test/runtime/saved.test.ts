/** Programs as files: whole, checked before an engine sees them, and verified by their probe. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
  TensorProto_DataLocation,
} from "../../src/compile/onnx/onnx_pb.js";
import { rebuild } from "../../src/compile/onnx/rebuild.js";
import { gpt } from "../../src/models/index.js";
import { Linear, observe } from "../../src/nn/index.js";
import { adamW } from "../../src/optim/index.js";
import type { Session, SessionOptions } from "../../src/runtime/backend.js";
import { makeProbe, runProbe } from "../../src/runtime/file-probe.js";
import { compile, decodeProgram, getBackend, load } from "../../src/runtime/index.js";
import {
  crossEntropy,
  type DeviceArray,
  embedding,
  grad,
  NDArray,
  type Tensor,
  tensor,
  training,
  where,
} from "../../src/tensor/index.js";

const model = gpt({ layers: 2, width: 16, heads: 2, vocabulary: 11, context: 8, dropout: 0.1 });
const optimizer = adamW(model.parameters(), { learningRate: 1e-2 });
const step = compile(
  (inputs: Readonly<Record<string, Tensor>>) => {
    const loss = training(() => crossEntropy(model.apply(inputs.tokens as Tensor), inputs.targets as Tensor));
    optimizer.update(grad(loss, model.parameters()));
    return { loss };
  },
  { seed: 3 },
);
const ids = NDArray.from([1, 2, 3, 4, 5, 6, 7, 8], "int32", [1, 8]);
const feeds = { tokens: ids, targets: ids };
interface Description {
  probe?: { feeds: [string, object][] };
  readonly updates: [string, string][];
  readonly random: { readonly attributes: { shape: number[] } }[];
}

let folder: string;
let bytes: Uint8Array;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "layerwise-saved-"));
  for (let i = 0; i < 3; i++) await step(feeds);
  bytes = await step.encode();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The file with its graph changed. */
function changed(change: (graph: GraphProto, file: ModelProto) => void): Uint8Array {
  const file = fromBinary(ModelProtoSchema, bytes);
  change(file.graph as GraphProto, file);
  return toBinary(ModelProtoSchema, file);
}

/** The file with another description of itself. */
const described = (change: (manifest: Description) => void): Uint8Array =>
  changed((_, { metadataProps: [entry] }) => {
    const manifest = JSON.parse(entry?.value ?? "") as Description;
    change(manifest);
    (entry as { value: string }).value = JSON.stringify(manifest);
  });

describe("a saved training step", () => {
  it("goes on where it was saved, bit for bit, dropout and all", async () => {
    const path = join(folder, "step.onnx");
    await step.save(path, feeds);
    const loaded = await load(path);
    expect(loaded.step).toBe(step.step);
    for (let i = 0; i < 4; i++) expect((await loaded(feeds)).loss?.item()).toBe((await step(feeds)).loss.item());
    const name = "model.layers.1.mlp.up_proj.weight";
    expect((await loaded.variables.get(name)?.data())?.toNumbers()).toEqual(
      (await model.namedVariables().get(name)?.data())?.toNumbers(),
    );
    await loaded.release();
  });

  it("can be saved again, with what it has learned since", async () => {
    const loaded = await decodeProgram(bytes);
    await loaded(feeds);
    const again = await decodeProgram(await loaded.encode());
    expect(again.step).toBe(loaded.step);
    expect((await again(feeds)).loss?.item()).toBe((await loaded(feeds)).loss?.item());
    await Promise.all([loaded.release(), again.release()]);
  });

  it("says what it takes, and refuses anything else", async () => {
    const loaded = await decodeProgram(bytes);
    expect(Object.fromEntries(loaded.inputs)).toEqual({
      tokens: { shape: [1, 8], dtype: "int32" },
      targets: { shape: [1, 8], dtype: "int32" },
    });
    await expect(loaded({ tokens: ids })).rejects.toThrow(/input "targets" is missing/);
    await expect(loaded({ tokens: ids, targets: ids.reshape([2, 4]) })).rejects.toThrow(
      /input "targets" is int32\[2, 4\]; the file was saved for int32\[1, 8\]/,
    );
    await loaded.release();
  });

  it("returns what was observed", async () => {
    const layer = new Linear(2, 2);
    observe(layer, ":out", (x) => x.mean());
    const program = compile((inputs: Readonly<Record<string, Tensor>>) => ({ y: layer.apply(inputs.x as Tensor) }));
    const x = NDArray.from([[1, 2]]);
    const { observed } = await program({ x });
    const loaded = await decodeProgram(await program.encode());
    expect((await loaded({ x })).observed[":out"]?.item()).toBe(observed[":out"]?.item());
    await Promise.all([program.release(), loaded.release()]);
  });

  it("declares what it updates as inputs with defaults, and nothing else of its own", () => {
    const graph = fromBinary(ModelProtoSchema, bytes).graph as GraphProto;
    const values = new Set(graph.initializer.map(({ name }) => name));
    const inputs = graph.input.map(({ name }) => name);
    expect(inputs.filter((name) => values.has(name))).toContain("model.layers.0.mlp.up_proj.weight");
    expect(inputs.filter((name) => !values.has(name) && !name.startsWith("random.")).sort()).toEqual([
      "targets",
      "tokens",
    ]);
  });

  it("names its nodes by module path", () => {
    const names = fromBinary(ModelProtoSchema, bytes).graph?.node.map(({ name }) => name);
    expect(names).toContain("model.layers.0.self_attn/softmax");
    expect(names?.some((name) => name.startsWith("model.layers.1.mlp.down_proj:grad/matmul"))).toBe(true);
  });
});

describe("an inference program", () => {
  it("is whole: weights are inside, inputs are its only inputs", async () => {
    const logits = compile((inputs: Readonly<Record<string, Tensor>>) => ({
      logits: model.apply(inputs.tokens as Tensor),
    }));
    const expected = (await logits({ tokens: ids })).logits;
    const file = await logits.encode();
    expect(fromBinary(ModelProtoSchema, file).graph?.input.map(({ name }) => name)).toEqual(["tokens"]);
    const loaded = await decodeProgram(file);
    expect((await loaded({ tokens: ids })).logits?.toNumbers()).toEqual(expected.toNumbers());
    await Promise.all([loaded.release(), logits.release()]);
  });
});

describe("a probe", () => {
  it("holds for another engine", async () => {
    const loaded = await decodeProgram(bytes, { backend: "wasm", threads: 1 });
    const native = await decodeProgram(bytes);
    expect((await loaded(feeds)).loss?.item()).toBeCloseTo((await native(feeds)).loss?.item() as number, 5);
    await Promise.all([loaded.release(), native.release()]);
  });

  it.each<[string, (x: Tensor) => Tensor]>([
    ["infinities", (x) => where(x.greater(0), x, Number.NEGATIVE_INFINITY)],
    ["what is no number", (x) => x.sub(10).log()],
    ["no elements", (x) => x.slice({ end: 0 })],
    ["integers", (x) => x.cast("int32").mul(1000003)],
    ["halves", (x) => x.cast("float16").exp()],
    ["nothing but rounding", (x) => x.sub(x.mul(3).div(3))],
  ])("holds for %s", async (_, f) => {
    const program = compile((inputs: Readonly<Record<string, Tensor>>) => ({ y: f(inputs.x as Tensor) }));
    const expected = (await program({ x: [0.3, -1.7, 2.6] })).y.toNumbers();
    const loaded = await decodeProgram(await program.encode());
    expect((await loaded({ x: [0.3, -1.7, 2.6] })).y?.toNumbers()).toEqual(expected);
    await Promise.all([program.release(), loaded.release()]);
  });

  it("stays small where the inputs are large", async () => {
    const program = compile((inputs: Readonly<Record<string, Tensor>>) => ({
      y: embedding(tensor([[1], [2], [3]]), inputs.ids as Tensor)
        .sum()
        .add((inputs.x as Tensor).mean()),
    }));
    const many = {
      ids: new NDArray(
        Int32Array.from({ length: 1e6 }, (_, i) => i % 3),
        [1e6],
        "int32",
      ),
      x: new NDArray(new Float32Array(1e6).fill(0.5), [1000, 1000], "float32"),
    };
    const file = await program.encode(many);
    expect(file.length).toBeLessThan(10_000);
    const loaded = await decodeProgram(file);
    expect((await loaded(many)).y?.item()).toBe((await program(many)).y.item());
    await Promise.all([program.release(), loaded.release()]);
  });

  it("names the output where only the engine's own fusion is wrong, and the node where the node is", async () => {
    const backend = await getBackend("cpu");
    const program = compile((inputs: Readonly<Record<string, Tensor>>) => ({ y: (inputs.x as Tensor).exp().neg() }));
    const executable = await program.prepare({ x: [1, 2] });
    const rebuilt = rebuild(executable.model, "program");
    const probe = await makeProbe(executable, rebuilt, { x: NDArray.from([1, 2]) });
    const wrong = (session: Session): Session => ({
      ...session,
      async run(fed, names, spares) {
        const results = new Map(await session.run(fed, names, spares));
        for (const name of ["y", "signature mean 1"])
          if (results.has(name)) {
            const { data, shape, dtype } = await (results.get(name) as DeviceArray).read();
            results.set(
              name,
              backend.upload(
                new NDArray(
                  (data as Float32Array).map((v) => 1.05 * v),
                  shape,
                  dtype,
                ),
              ),
            );
          }
        return results;
      },
    });
    const fused = { ...executable, session: wrong(executable.session) };
    expect(await runProbe(executable, rebuilt, probe, true)).toBeUndefined();
    expect(await runProbe(fused, rebuilt, probe, false)).toEqual({ value: "y", node: undefined });
    const everywhere = {
      ...backend,
      createSession: async (model: Uint8Array, options: SessionOptions) =>
        wrong(await backend.createSession(model, options)),
    };
    expect(await runProbe({ ...fused, backend: everywhere }, rebuilt, probe, false)).toEqual({
      value: "y",
      node: "neg",
    });
    await program.release();
  });
});

describe("a file that is not what it was", () => {
  it("is refused where a weight was changed by one bit, naming it", async () => {
    const file = changed(({ initializer }) => {
      const weight = initializer.find(({ name }) => name === "model.layers.1.mlp.up_proj.weight") as TensorProto;
      weight.rawData = weight.rawData.slice();
      weight.rawData[100] = (weight.rawData[100] as number) ^ 1;
    });
    await expect(decodeProgram(file)).rejects.toThrow(
      /value "model\.layers\.1\.mlp\.up_proj\.weight" was changed after it was saved/,
    );
  });

  it.each([
    [
      "of the forward pass",
      "model.layers.0.mlp/",
      "Sigmoid",
      "Tanh",
      /first wrong node is "model\.layers\.0\.mlp\/silu/,
    ],
    [
      "of the backward pass",
      "model.layers.0.mlp:grad/",
      "Sub",
      "Add",
      /first wrong node is "model\.layers\.0\.mlp:grad\/sub/,
    ],
    ["of the update", "sub", "Sub", "Add", /first wrong node is "sub/],
  ])("is refused where an operation %s was changed, naming it", async (_, prefix, from, to, message) => {
    const file = changed(({ node }) => {
      const one = node.findLast(({ opType, name }) => opType === from && name.startsWith(prefix)) as NodeProto;
      one.opType = to;
    });
    await expect(decodeProgram(file)).rejects.toThrow(message);
  });

  it("is refused where an operation was changed that the probe does not show", async () => {
    const program = compile((inputs: Readonly<Record<string, Tensor>>) => ({ y: (inputs.x as Tensor).abs() }));
    const file = fromBinary(ModelProtoSchema, await program.encode({ x: [1, 2] }));
    (file.graph?.node[0] as NodeProto).opType = "Identity";
    await expect(decodeProgram(toBinary(ModelProtoSchema, file))).rejects.toThrow(
      /its graph was changed after it was saved$/,
    );
  });

  it.each<[string, () => Uint8Array, RegExp]>([
    ["cut short", () => bytes.slice(0, bytes.length - 100), /not a whole ONNX file/],
    ["empty", () => new Uint8Array(), /not saved by layerwise/],
    [
      "no protobuf",
      () => new TextEncoder().encode("hello, this is text and not a model"),
      /not a whole ONNX file|not saved by layerwise/,
    ],
    [
      "foreign",
      () =>
        changed((_, file) => {
          file.metadataProps = [];
        }),
      /was not saved by layerwise; save a program with program\.save/,
    ],
    [
      "of another operation set",
      () =>
        changed((_, file) => {
          (file.opsetImport[0] as { version: bigint }).version = 7n;
        }),
      /operation set "" 7; expected 21/,
    ],
    [
      "with an operation of another kind",
      () =>
        changed(({ node }) => {
          (node[0] as { opType: string }).opType = "If";
        }),
      /is a ai\.onnx\.If, which no program of ours has/,
    ],
    [
      "with values outside",
      () =>
        changed(({ initializer }) => {
          (initializer[0] as { dataLocation: number }).dataLocation = TensorProto_DataLocation.EXTERNAL;
        }),
      /lies outside the file/,
    ],
    [
      "with fewer bytes than a shape needs",
      () =>
        changed(({ initializer }) => {
          const first = initializer.find(({ dims }) => dims.length > 0) as { rawData: Uint8Array };
          first.rawData = first.rawData.slice(4);
        }),
      /but has \d+ bytes/,
    ],
    [
      "with a negative dimension",
      () =>
        changed(({ initializer }) => {
          (initializer[0] as { dims: bigint[] }).dims = [-1n];
        }),
      /\[-1\] but has/,
    ],
    [
      "that reads what nothing makes",
      () =>
        changed(({ node }) => {
          (node[5] as { input: string[] }).input[0] = "nowhere";
        }),
      /reads "nowhere" before anything makes it/,
    ],
    [
      "that makes a value twice",
      () =>
        changed(({ node }) => {
          (node[5] as { output: string[] }).output = [...(node[4] as { output: string[] }).output];
        }),
      /is made twice/,
    ],
    [
      "with a description of something else",
      () =>
        changed((_, file) => {
          (file.metadataProps[0] as { value: string }).value = "{}";
        }),
      /description is not what save writes/,
    ],
    ["without its probe", () => described((manifest) => delete manifest.probe), /description is not what save writes/],
    [
      "with a probe for another input",
      () =>
        described((manifest) => {
          (manifest.probe?.feeds[0] as [string, object])[0] = "other";
        }),
      /has no probe for input "tokens"/,
    ],
    [
      "with updates of what is no variable",
      () =>
        described((manifest) => {
          (manifest.updates[0] as [string, string])[0] = "tokens";
        }),
      /updates "tokens", which has no value/,
    ],
    [
      "with an update of another shape",
      () =>
        described((manifest) => {
          (manifest.updates[0] as [string, string])[1] = "loss";
          (manifest.updates[1] as [string, string])[1] = "loss";
        }),
      /which has another shape or type/,
    ],
    [
      "with random numbers of another shape",
      () =>
        described((manifest) => {
          (manifest.random[0] as Description["random"][number]).attributes.shape = [1e9, 1e9];
        }),
      /another shape or type than the graph/,
    ],
  ])("is refused when %s", async (_, make, message) => {
    await expect(decodeProgram(make())).rejects.toThrow(message);
  });

  it("is refused where it cannot be read", async () => {
    await expect(load(join(folder, "none.onnx"))).rejects.toThrow(/none\.onnx cannot be read/);
  });
});
