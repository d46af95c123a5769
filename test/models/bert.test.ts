import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  bertFromPretrained,
  loadSafetensors,
  NDArray,
  nn,
  readSafetensors,
  savePretrained,
  saveSafetensors,
  type Tensor,
  writeSafetensors,
} from "../../src/index.js";
import { toOurs } from "../../src/models/pretrained/layout.js";
import { relativeError } from "../../src/studies/golden/case.js";
import { errorOf, gradientsOf, modelCase, sourceOf, trainSteps } from "../support/model-case.js";

const scratch = mkdtempSync(join(tmpdir(), "layerwise-bert-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const sizes = { vocabulary: 23, layers: 2, width: 12, heads: 3, hidden: 20, context: 10 } as const;
const whole = { ...sizes, maskedLM: true, nextSentence: true } as const;

/** The encoder's stream of a reference's inputs. */
const stream =
  (model: nn.Bert) =>
  ({ tokens, types, padding }: Record<string, Tensor>): Tensor =>
    nn.withInputs({ padding }, () => model.apply(tokens as Tensor, types ? { tokenTypes: types } : {}));

async function loaded() {
  const reference = await modelCase("bert");
  const model = nn.bert(whole);
  await nn.loadNamed(model, sourceOf(reference.weights));
  const { get } = reference;
  const real = get("x.padding");
  const padding = NDArray.from(real.toNumbers(), "bool", real.shape);
  return { ...reference, model, inputs: { tokens: get("x.tokens"), types: get("x.types"), padding } };
}

describe("BERT", () => {
  it.each([
    ["stream", (_: nn.Bert, x: Tensor) => x],
    ["pooled", (model: nn.Bert, x: Tensor) => model.pooled(x)],
    ["words", (model: nn.Bert, x: Tensor) => model.words(x)],
    ["follows", (model: nn.Bert, x: Tensor) => model.follows(x)],
  ] as const)("gives the reference's %s, with padding and token types", async (name, read) => {
    const { model, inputs, get } = await loaded();
    expect(await errorOf(inputs, (given) => read(model, stream(model)(given)), get(`y.${name}`))).toBeLessThan(1e-5);
  });

  it("has the reference's gradients, the tied word table's too", async () => {
    const { model, inputs, get, gradients } = await loaded();
    const found = await gradientsOf(model, { ...inputs, loss_weights: get("loss_weights") }, (given) =>
      model.words(stream(model)(given)),
    );
    const expected = toOurs(model.layouts()[0] as never, gradients);
    expect(expected.size).toBeGreaterThan(20);
    for (const [path, value] of expected)
      if (!path.endsWith("k_proj.bias"))
        expect(relativeError((found.get(path) as NDArray).toNumbers(), value.toNumbers()), path).toBeLessThan(1e-5);
  });

  it("reads files that say gamma and beta, of the bare model, and with copies of the word table", async () => {
    const { weights, inputs, get } = await loaded();
    const old = new Map(
      [...weights].map(([name, value]) => [name.replace(/(LayerNorm)\.weight$/, "$1.gamma"), value] as const),
    );
    const older = new Map([...old].map(([name, value]) => [name.replace(/(LayerNorm)\.bias$/, "$1.beta"), value]));
    older.set("cls.predictions.decoder.weight", weights.get("bert.embeddings.word_embeddings.weight") as NDArray);
    const path = join(scratch, "old.safetensors");
    await writeSafetensors(path, older);
    const model = nn.bert(whole);
    await loadSafetensors(model, path);
    expect(await errorOf(inputs, stream(model), get("y.stream"))).toBeLessThan(1e-5);
    const bare = new Map(
      [...weights].flatMap(([name, value]) => (name.startsWith("bert.") ? [[name.slice(5), value] as const] : [])),
    );
    const encoder = nn.bert({ ...sizes, pooler: true });
    await nn.loadNamed(encoder, sourceOf(bare));
    expect(await errorOf(inputs, stream(encoder), get("y.stream"))).toBeLessThan(1e-5);
  });

  it("takes the encoder of a file with heads for a classifier of its own", async () => {
    const { weights } = await loaded();
    const model = nn.bert({ ...sizes, pooler: true, classes: 4 });
    await expect(nn.loadNamed(model, sourceOf(weights))).rejects.toThrow(
      /misses classifier\.weight, classifier\.bias; has cls\.predictions\..* and 2 more, for which the model has no place/,
    );
    await nn.loadNamed(model, sourceOf(weights), { skip: ["classifier.*", "cls.**"] });
    expect((await model.stateDict()).get("layers.1.self_attn.q_proj.bias")?.data).toEqual(
      weights.get("bert.encoder.layer.1.attention.self.query.bias")?.data,
    );
  });

  it.each([
    ["BertForPreTraining", whole],
    ["BertForMaskedLM", { ...sizes, maskedLM: true }],
    ["BertForSequenceClassification", { ...sizes, pooler: true, classes: 4 }],
    ["BertForTokenClassification", { ...sizes, classes: 4 }],
    ["BertModel", sizes],
  ] as const)("%s is a Hugging Face folder, written and read again", async (name, options) => {
    const model = nn.bert({ ...options, seed: 3 });
    expect(model.describe().architectures).toEqual([name]);
    const folder = join(scratch, name);
    await savePretrained(model, folder);
    const again = await bertFromPretrained(folder, { dropout: 0 });
    const values = await model.stateDict();
    const read = await again.stateDict();
    expect([...read.keys()]).toEqual([...values.keys()]);
    for (const [path, value] of read) expect(value.data).toEqual(values.get(path)?.data);
    expect(
      (await readSafetensors(join(folder, "model.safetensors"))).tensors.has(
        "bert.encoder.layer.0.attention.self.query.weight",
      ),
    ).toBe(true);
  });

  const tokens = NDArray.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0], "int32", [3, 4]);
  const padding = NDArray.from([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0], "bool", [3, 4]);

  it.each(nn.normKinds)("trains with %s norm, padding known to the norm", async (norm) => {
    const model = nn.bert({ ...sizes, norm, pooler: true, classes: 3 });
    const { losses, moved } = await trainSteps(model, { tokens, padding }, (given) =>
      model.classify(stream(model)(given)),
    );
    expect([losses.every(Number.isFinite), moved]).toEqual([true, true]);
  });

  it.each(["pre", "post", "peri", "output", "mix", "lns", "parallel"] as const)(
    "learns with placement %s",
    async (placement) => {
      const model = nn.bert({ ...sizes, layers: 4, placement, pooler: true, classes: 3 });
      const { losses } = await trainSteps(
        model,
        { tokens, padding },
        (given) => model.classify(stream(model)(given)),
        25,
      );
      expect(losses.at(-1)).toBeLessThan(losses[0] as number);
      if (placement !== "post")
        await expect(saveSafetensors(model, join(scratch, "x"), { layout: "huggingface" })).rejects.toThrow(
          'has no layout "huggingface"',
        );
    },
  );

  it("does not see padding", async () => {
    const model = nn.bert(sizes);
    const first = ({ tokens, padding }: Record<string, Tensor>) =>
      nn.withInputs({ padding }, () => model.apply(tokens as Tensor).slice({ axis: 1, end: 2 }));
    const row = (last: number) => NDArray.from([3, 4, last], "int32", [1, 3]);
    const difference = ({ a, b, padding }: Record<string, Tensor>) =>
      first({ tokens: a as Tensor, padding: padding as Tensor })
        .sub(first({ tokens: b as Tensor, padding: padding as Tensor }))
        .abs()
        .max();
    const masks = [NDArray.from([1, 1, 0], "bool", [1, 3]), NDArray.from([1, 1, 1], "bool", [1, 3])] as const;
    const zero = NDArray.zeros([]);
    expect(await errorOf({ a: row(5), b: row(6), padding: masks[0] }, difference, zero)).toBe(0);
    expect(await errorOf({ a: row(5), b: row(6), padding: masks[1] }, difference, zero)).toBeGreaterThan(1e-4);
  });

  it.each<[string, () => unknown, string]>([
    ["a next-sentence head without pooler", () => nn.bert({ ...sizes, nextSentence: true, pooler: false }), "pooler"],
    ["heads that do not divide the width", () => nn.bert({ ...sizes, heads: 5 }), "do not divide the width"],
    [
      "relative positions",
      () => nn.bertOptions({ model_type: "bert", position_embedding_type: "relative_key" }, new Map()),
      'position_embedding_type: "relative_key" is not supported',
    ],
    ["a decoder", () => nn.bertOptions({ model_type: "bert", is_decoder: true }, new Map()), "is_decoder: true"],
    ["a folder of another kind", () => nn.bertOptions({ model_type: "roberta" }, new Map()), "known: bert"],
    ["a part that is not there", () => nn.bert(sizes).words(undefined as never), "built without maskedLM"],
    ["a configuration for another placement", () => nn.bert({ ...sizes, placement: "pre" }).describe(), "Post-LN"],
  ])("refuses %s", (_, make, message) => {
    expect(make).toThrow(message);
  });
});
