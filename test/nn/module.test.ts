/** Modules: structure by reflection, names, sharing, state, surgery, freezing, and looking inside. */
import { describe, expect, it } from "vitest";
import { gpt } from "../../src/models/index.js";
import { Embedding, freeze, Linear, Module, observe, rewrite, unfreeze } from "../../src/nn/index.js";
import { pattern, withoutAliases } from "../../src/nn/observe.js";
import { compile } from "../../src/runtime/index.js";
import { crossEntropy, grad, NDArray, type Tensor, Variable } from "../../src/tensor/index.js";

class Pair extends Module {
  readonly first = new Linear(2, 3);
  readonly rest = [new Linear(3, 3, { bias: false }), { named: new Linear(3, 2) }] as const;
  readonly counter = new Variable([0], { trainable: false });
  readonly label = "text is no structure";
  override forward(x: Tensor): Tensor {
    return this.rest[1].named.apply(this.rest[0].apply(this.first.apply(x)).relu());
  }
}

const tiny = () => gpt({ layers: 2, width: 8, heads: 2, vocabulary: 7, context: 4 });
const ids = NDArray.from([1, 2, 3, 4], "int32", [1, 4]);

describe("structure", () => {
  it("is found in fields, arrays and plain objects, in order, named by dotted path", () => {
    expect([...new Pair().namedVariables().keys()]).toEqual([
      "first.weight",
      "first.bias",
      "rest.0.weight",
      "rest.1.named.weight",
      "rest.1.named.bias",
      "counter",
    ]);
    expect([...new Pair().namedModules().keys()]).toEqual(["", "first", "rest.0", "rest.1.named"]);
  });

  it("gives each trainable variable once, shared or not", () => {
    const shared = new Linear(3, 3);
    class Twice extends Module {
      readonly a = shared;
      readonly b = shared;
      override forward(x: Tensor): Tensor {
        return this.b.apply(this.a.apply(x));
      }
    }
    expect(new Twice().parameters()).toHaveLength(2);
    expect([...new Twice().namedVariables().keys()]).toEqual(["a.weight", "a.bias"]);
    expect(new Pair().parameters()).toHaveLength(5);
  });

  it("has the names of Llama's checkpoints", () => {
    const names = [...tiny().namedVariables().keys()];
    expect(names).toContain("model.layers.1.self_attn.q_proj.weight");
    expect(names).toContain("model.embed_tokens.weight");
    expect(names).toContain("lm_head.weight");
  });
});

describe("state", () => {
  it("goes out and comes back, in other precisions too", async () => {
    const [a, b] = [new Pair(), new Pair()];
    const state = await a.stateDict();
    b.loadStateDict(new Map([...state].map(([name, array]) => [name, array.cast("float64")])));
    expect((await b.stateDict()).get("rest.0.weight")?.toNumbers()).toEqual(state.get("rest.0.weight")?.toNumbers());
  });

  it.each([
    ["missing values", (state: Map<string, NDArray>) => state.delete("first.bias"), /missing first\.bias/],
    ["values left over", (state: Map<string, NDArray>) => state.set("other", NDArray.zeros([1])), /unexpected other/],
    [
      "another shape",
      (state: Map<string, NDArray>) => state.set("first.bias", NDArray.zeros([4])),
      /"first\.bias" has shape \[3\], the value \[4\]/,
    ],
  ])("with %s is refused and changes nothing", async (_, spoil, message) => {
    const pair = new Pair();
    const before = (await pair.stateDict()).get("first.weight")?.toNumbers();
    const state = await new Pair().stateDict();
    spoil(state);
    expect(() => pair.loadStateDict(state)).toThrow(message);
    expect((await pair.stateDict()).get("first.weight")?.toNumbers()).toEqual(before);
  });
});

describe("rewrite", () => {
  it("replaces modules by path, wherever they are held, and does not look into replacements", () => {
    const seen: string[] = [];
    const model = rewrite(new Pair(), (module, path) => {
      seen.push(path);
      return path === "rest.1.named" ? new Linear(3, 9) : module instanceof Embedding ? undefined : undefined;
    });
    expect(seen).toEqual(["", "first", "rest.0", "rest.1.named"]);
    expect(model.namedVariables().get("rest.1.named.weight")?.shape).toEqual([9, 3]);
  });

  it("may replace the root", () => {
    const other = new Linear(1, 1);
    expect(rewrite(new Pair() as Module, (_, path) => (path === "" ? other : undefined))).toBe(other);
  });
});

describe("freeze", () => {
  it.each([
    ["model.layers.0", 9],
    ["**.weight", 21],
    ["model.layers.*.mlp", 6],
    ["**", 21],
  ])("%s freezes %i variables, and unfreeze gives them back", (query, count) => {
    const model = tiny();
    const all = model.parameters().length;
    freeze(model, query);
    expect(all - model.parameters().length).toBe(count);
    unfreeze(model, query);
    expect(model.parameters()).toHaveLength(all);
  });

  it("says so when nothing matches", () => {
    expect(() => freeze(tiny(), "layers.0")).toThrow(
      /no variable matches "layers\.0"; paths look like "model\.embed_tokens\.weight"/,
    );
  });
});

describe("queries", () => {
  it.each([
    ["model.layers.*.mlp", "model.layers.3.mlp:out", true],
    ["model.layers.*.mlp", "model.layers.3.mlp", true],
    ["model.layers.*.mlp", "model.layers.3.mlp.up_proj:out", false],
    ["model.layers.*.mlp:in", "model.layers.3.mlp:in", true],
    ["**.mlp:grad", "model.layers.3.mlp:grad", true],
    ["**.self_attn/softmax", "model.layers.0.self_attn/softmax", true],
    ["**:out", ":out", true],
    ["model.layers.1", "model.layers.11:out", false],
  ])("%s and %s: %s", (query, name, expected) => {
    expect(pattern(query)(name)).toBe(expected);
  });

  it.each([
    ["blocks.3.hook_resid_pre", "model.layers.3:in"],
    ["blocks.3.hook_resid_post", "model.layers.3:out"],
    ["blocks.*.attn.hook_pattern", "model.layers.*.self_attn/softmax"],
    ["blocks.0.attention", "model.layers.0.self_attn"],
    ["blocks.0.hook_mlp_out", "model.layers.0.mlp:out"],
    ["ln_final.hook_normalized", "model.norm:out"],
  ])("%s is %s", (alias, name) => {
    expect(withoutAliases(alias)).toBe(name);
  });
});

describe("observe", () => {
  const program = (model: ReturnType<typeof tiny>) =>
    compile((inputs: Readonly<Record<string, Tensor>>) => {
      const tokens = inputs.tokens as Tensor;
      const loss = crossEntropy(model.apply(tokens), tokens);
      grad(loss, model.parameters());
      return { loss };
    });

  it("adds modules, operations, inputs and gradients to a program without touching the model", async () => {
    const model = tiny();
    const run = program(model);
    expect(Object.keys((await run({ tokens: ids })).observed)).toEqual([]);
    const watches = [
      "model.layers.*.mlp",
      "blocks.1.hook_resid_pre",
      "**.self_attn/softmax",
      "lm_head.weight:grad",
    ].map((query) => observe(model, query, (x) => x.square().mean()));
    const { observed } = await run({ tokens: ids });
    expect(Object.keys(observed)).toEqual([
      "model.layers.0.mlp:out",
      "model.layers.1.mlp:out",
      "model.layers.1:in",
      "model.layers.0.self_attn/softmax",
      "model.layers.1.self_attn/softmax",
      "lm_head.weight:grad",
    ]);
    for (const value of Object.values(observed)) expect(value.item()).toBeGreaterThan(0);
    for (const watch of watches) watch.stop();
    expect(Object.keys((await run({ tokens: ids })).observed)).toEqual([]);
    await run.release();
  });

  it("gives whole tensors by default: attention's rows add up to 1", async () => {
    const model = tiny();
    observe(model, "model.layers.0.self_attn/softmax");
    const { observed } = await program(model)({ tokens: ids });
    const pattern = observed["model.layers.0.self_attn/softmax"] as NDArray;
    expect(pattern.shape).toEqual([1, 2, 4, 4]);
    expect(pattern.toNumbers().slice(0, 4)).toEqual([1, 0, 0, 0]);
  });

  it("sees the same paths when the stream is asked for state by state", async () => {
    const model = tiny();
    observe(model, "model.layers.*.mlp", (x) => x.abs().max());
    const states = compile((inputs: Readonly<Record<string, Tensor>>) => ({
      last: model.readout(model.hiddenStates(inputs.tokens as Tensor).at(-1) as Tensor),
    }));
    expect(Object.keys((await states({ tokens: ids })).observed)).toEqual([
      "model.layers.0.mlp:out",
      "model.layers.1.mlp:out",
    ]);
    await states.release();
  });

  it("names what there is when nothing matches", async () => {
    const model = tiny();
    observe(model, "model.layers.9.mlp");
    await expect(program(model)({ tokens: ids })).rejects.toThrow(
      /nothing matches "model\.layers\.9\.mlp"; points are named like ":in"/,
    );
  });
});
