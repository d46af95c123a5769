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
import { gpt } from "../../src/models/index.js";
import { adamW } from "../../src/optim/index.js";
import { compile, decodeProgram, load } from "../../src/runtime/index.js";
import { crossEntropy, grad, NDArray, type Tensor, training } from "../../src/tensor/index.js";

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
  it("goes on where it was saved, bit for bit", async () => {
    const path = join(folder, "step.onnx");
    await step.save(path, feeds);
    const loaded = await load(path, { seed: 3 });
    loaded.step = step.step;
    for (let i = 0; i < 4; i++) expect((await loaded(feeds)).loss?.item()).toBe((await step(feeds)).loss.item());
    const name = "model.layers.1.mlp.up_proj.weight";
    expect((await loaded.variables.get(name)?.data())?.toNumbers()).toEqual(
      (await model.namedVariables().get(name)?.data())?.toNumbers(),
    );
    await loaded.release();
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
