/** What compiled programs promise: state, caching, gradients of anything, passes, repeatability, memory. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { optimize } from "../../src/compile/passes.js";
import { gpt } from "../../src/models/index.js";
import { freeze, Linear, Module } from "../../src/nn/index.js";
import { adamW } from "../../src/optim/index.js";
import { compile, evaluate, type Program } from "../../src/runtime/index.js";
import {
  concat,
  crossEntropy,
  customGradient,
  grad,
  NDArray,
  random,
  stopGradient,
  straightThrough,
  type Tensor,
  tensor,
  training,
  Variable,
  zeros,
} from "../../src/tensor/index.js";

type In = Readonly<Record<string, Tensor>>;
const t = (inputs: In, name: string) => inputs[name] as Tensor;

describe("variables", () => {
  it("read in a run what they were before it, whatever the order", async () => {
    const v = new Variable([1, 2], { name: "v" });
    const program = compile(() => {
      v.assign(v.add(10));
      return { seen: v.mul(1) };
    });
    expect((await program({})).seen.toNumbers()).toEqual([1, 2]);
    expect((await program({})).seen.toNumbers()).toEqual([11, 12]);
  });

  it("swap values with one another", async () => {
    const [a, b] = [new Variable([1]), new Variable([2])];
    const program = compile(() => {
      a.assign(b.mul(1));
      b.assign(a.mul(1));
      return {};
    });
    await program({});
    expect([await a.data(), await b.data()].map((x) => x.item())).toEqual([2, 1]);
  });

  it("never write to an array that the user holds, and give copies", async () => {
    const held = NDArray.from([1, 2, 3]);
    const v = new Variable(held);
    const program = compile(() => {
      v.assign(v.mul(2));
      return {};
    });
    for (let i = 0; i < 4; i++) await program({});
    const copy = await v.data();
    await program({});
    expect(held.toNumbers()).toEqual([1, 2, 3]);
    expect(copy.toNumbers()).toEqual([16, 32, 48]);
  });

  it.each([
    [
      "assigned twice",
      () =>
        compile(() => {
          const v = new Variable([1], { name: "v" });
          v.assign(v);
          v.assign(v);
          return {};
        })({}),
      /"v" is assigned twice in one program/,
    ],
    [
      "assigned outside a program",
      async () => new Variable([1], { name: "v" }).assign(tensor([2])),
      /"v" was assigned outside a compiled function; use variable\.set/,
    ],
    [
      "given another shape",
      async () => new Variable([1], { name: "v" }).set([1, 2]),
      /"v" has shape \[1\], the value \[2\]/,
    ],
    [
      "assigned another shape",
      () =>
        compile(() => {
          new Variable([1], { name: "v" }).assign(zeros([2]));
          return {};
        })({}),
      /"v" is float32\[1\], the new value is float32\[2\]/,
    ],
  ])("are refused when %s", async (_, act, message) => {
    await expect(act()).rejects.toThrow(message);
  });

  it("keep their value where a run is not committed", async () => {
    const v = new Variable([1]);
    const program = compile(
      (inputs: In) => {
        v.assign(v.add(t(inputs, "by")));
        return { by: t(inputs, "by") };
      },
      { commit: ({ by }) => (by as NDArray).item() > 0 },
    );
    for (const by of [1, -5, 2, -7]) await program({ by });
    expect((await v.data()).item()).toBe(4);
  });
});

describe("inputs", () => {
  it("of a new shape are traced anew, and a bounded number of programs is kept", async () => {
    let traced = 0;
    const program = compile(
      (inputs: In) => {
        traced++;
        return { s: t(inputs, "x").sum() };
      },
      { cacheSize: 3 },
    );
    for (const n of [1, 2, 3, 1, 4, 5, 1])
      expect((await program({ x: new Float32Array(n).fill(2) as unknown as number[] })).s.item()).toBe(2 * n);
    expect(traced).toBe(5);
    expect(program.cached).toBe(3);
  });

  it.each([
    [
      "missing",
      (p: Program<In, { y: Tensor }>) => p({ x: undefined as never }),
      /input "x" is undefined; expected an NDArray or numbers/,
    ],
    [
      "a lazy tensor",
      (p: Program<In, { y: Tensor }>) => p({ x: tensor([1]) as never }),
      /input "x" is a lazy tensor; feed its values/,
    ],
  ])("are refused when %s", async (_, act, message) => {
    await expect(act(compile((inputs: In) => ({ y: t(inputs, "x") })))).rejects.toThrow(message);
  });

  it("outputs that are no tensors are named", async () => {
    await expect(compile(() => ({ y: 3 as never }))({})).rejects.toThrow(/output "y" is number, expected a Tensor/);
  });
});

describe("gradients", () => {
  it("of inputs and of values in between", async () => {
    const program = compile((inputs: In) => {
      const middle = t(inputs, "x").square();
      const [gx, gm] = grad(middle.mul(3).sum(), [t(inputs, "x"), middle]) as [Tensor, Tensor];
      return { gx, gm };
    });
    const { gx, gm } = await program({ x: [1, 2] });
    expect([gx.toNumbers(), gm.toNumbers()]).toEqual([
      [6, 12],
      [3, 3],
    ]);
  });

  it("of gradients", async () => {
    const x = tensor([2]);
    const [first] = grad(x.pow(3).sum(), [x]) as [Tensor];
    const [second] = grad(first.sum(), [x]) as [Tensor];
    expect((await evaluate([first, second])).map((v) => v.item())).toEqual([12, 12]);
  });

  it("stop, go straight through, and are zero where nothing leads", async () => {
    const x = tensor([0.3, 1.7]);
    const [stopped, straight, none] = await evaluate([
      grad(x.mul(stopGradient(x)).sum(), [x])[0] as Tensor,
      grad(straightThrough(x.round(), x).mul(2).sum(), [x])[0] as Tensor,
      grad(x.sum(), [tensor([1])])[0] as Tensor,
    ]);
    expect(stopped?.toNumbers().map((v) => Number(v.toFixed(5)))).toEqual([0.3, 1.7]);
    expect(straight?.toNumbers()).toEqual([2, 2]);
    expect(none?.toNumbers()).toEqual([0]);
  });

  it("of one's own may read and assign variables", async () => {
    const seen = new Variable([0], { name: "seen", trainable: false });
    const program = compile((inputs: In) => {
      const y = customGradient(
        [t(inputs, "x")],
        (x) => x.mul(2),
        (g) => {
          seen.assign(seen.add(g.sum().reshape([1])));
          return [g.mul(seen)];
        },
      );
      return { g: grad(y.sum(), [t(inputs, "x")])[0] as Tensor };
    });
    await program({ x: [1, 1] });
    expect((await program({ x: [1, 1] })).g.toNumbers()).toEqual([2, 2]);
    expect((await seen.data()).item()).toBe(4);
  });

  it.each([
    ["a vector", () => grad(tensor([1, 2]), []), /expected a scalar loss, got shape \[2\]; take its mean or sum/],
    ["an integer", () => grad(tensor([1], { dtype: "int32" }), []), /the loss is int32; only floats have gradients/],
    [
      "gradients of another shape",
      () => {
        const x = tensor([1, 2]);
        return grad(
          customGradient(
            [x],
            (y) => y.mul(2),
            () => [zeros([3])],
          ).sum(),
          [x],
        );
      },
      /gradient 0 has shape \[3\], its input \[2\]/,
    ],
  ])("are refused for %s", (_, act, message) => {
    expect(act).toThrow(message);
  });
});

describe("frozen parameters", () => {
  it("cost no node of the program and no moment", async () => {
    const nodes = async (query?: string) => {
      const model = gpt({ layers: 2, width: 8, heads: 1, vocabulary: 11, context: 4 });
      if (query) freeze(model, query);
      const optimizer = adamW(model.parameters(), { learningRate: 1e-3 });
      const program = compile((inputs: In) => {
        const loss = crossEntropy(model.apply(t(inputs, "ids")), t(inputs, "ids"));
        optimizer.update(grad(loss, model.parameters()));
        return { loss };
      });
      const ids = NDArray.from([0, 1, 2, 3], "int32", [1, 4]);
      const { model: onnx } = await program.prepare({ ids });
      await program.release();
      const elements = [...optimizer.state().values()].reduce((sum, { size }) => sum + size, 0);
      return {
        nodes: onnx.graph?.node.length ?? 0,
        elements,
        parameters: model.parameters().reduce((sum, { size }) => sum + size, 0),
      };
    };
    const [all, some] = [await nodes(), await nodes("model")];
    expect(some.nodes).toBeLessThan(0.5 * all.nodes);
    expect(some.elements).toBe(2 * some.parameters + 1);
    expect(all.elements).toBe(2 * all.parameters + 1);
  });
});

describe("passes", () => {
  const count = (x: Tensor) => {
    const seen = new Set<number>();
    const walk = ({ node }: Tensor) => {
      if (seen.has(node.id)) return;
      seen.add(node.id);
      node.inputs.forEach(walk);
    };
    walk(x);
    return seen.size;
  };
  const x = new Variable([
    [1, 2],
    [3, 4],
  ]);
  it.each([
    ["equal subexpressions become one", () => x.exp().add(x.exp()), 3],
    ["neutral elements go", () => x.mul(1).add(0).div(1).sub(0), 1],
    ["constants are folded", () => x.add(tensor(2).mul(3).add(1)), 3],
    ["reshapes and transposes cancel", () => x.transpose().transpose().reshape([4]).reshape([2, 2]), 1],
    ["operations that only steer gradients go", () => stopGradient(straightThrough(x, x)), 1],
    ["what is empty is not computed", () => concat([x, x.slice({ end: 0 }).exp().matmul(x)]), 3],
  ])("%s", (_, build, expected) => {
    expect(count(optimize([build()])[0] as Tensor)).toBe(expected);
  });
});

describe("repeatability", () => {
  const losses = async (seed: number) => {
    const model = gpt({ layers: 1, width: 8, heads: 1, vocabulary: 11, context: 4, dropout: 0.2 });
    const optimizer = adamW(model.parameters(), { learningRate: 1e-2 });
    const step = compile(
      (inputs: In) => {
        const loss = training(() => crossEntropy(model.apply(t(inputs, "ids")), t(inputs, "ids")));
        optimizer.update(grad(loss, model.parameters()));
        return { loss };
      },
      { seed },
    );
    const ids = NDArray.from([0, 1, 2, 3], "int32", [1, 4]);
    const result: number[] = [];
    for (let i = 0; i < 3; i++) result.push((await step({ ids })).loss.item());
    await step.release();
    return result.join();
  };
  it("one seed gives the same bits 100 times, another seed others", async () => {
    const first = await losses(1);
    for (let i = 0; i < 99; i++) expect(await losses(1)).toBe(first);
    expect(await losses(2)).not.toBe(first);
  });
});

describe("memory", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const megabytes = () => {
    collect();
    return process.memoryUsage().rss / 2 ** 20;
  };

  it("500 programs made and released leave nothing behind", async () => {
    const layer = new Linear(64, 64);
    const one = async () => {
      const program = compile((inputs: In) => ({ y: layer.apply(t(inputs, "x")).gelu().sum() }));
      await program({ x: new NDArray(new Float32Array(64 * 64), [64, 64], "float32") });
      await program.release();
    };
    for (let i = 0; i < 100; i++) await one();
    const before = megabytes();
    for (let i = 0; i < 400; i++) await one();
    // 400 sessions that leaked their weights and buffers alone would be 20 MB; each holds over 100 KB of its own besides.
    expect(megabytes() - before).toBeLessThan(40);
  });

  it("10,000 steps run in the same memory", async () => {
    const v = new Variable(new NDArray(new Float32Array(4096), [4096], "float32"));
    const step = compile((inputs: In) => {
      const noisy = v.add(random.normal([4096]).mul(1e-3));
      v.assign(noisy.sub(t(inputs, "x").mean()));
      return { loss: noisy.square().mean() };
    });
    const feeds = { x: new NDArray(new Float32Array(4096), [4096], "float32") };
    for (let i = 0; i < 2000; i++) await step(feeds);
    const before = megabytes();
    for (let i = 0; i < 8000; i++) await step(feeds);
    // A leak of one buffer a step would be 130 MB.
    expect(megabytes() - before).toBeLessThan(40);
  });
});

it("errors name the module that met them", async () => {
  class Wrong extends Module {
    readonly inner = new Linear(3, 4);
    override forward(x: Tensor): Tensor {
      return this.inner.apply(x).add(zeros([5]));
    }
  }
  class Outer extends Module {
    readonly blocks = [new Wrong()];
    override forward(x: Tensor): Tensor {
      return (this.blocks[0] as Wrong).apply(x);
    }
  }
  expect(() => new Outer().apply(zeros([2, 3]))).toThrow(
    /at blocks\.0: add: shapes \[2, 4\] and \[5\] do not broadcast/,
  );
});
