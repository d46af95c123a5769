/** Trainings in a page: a WebGPU device that is lost in the middle, and a page that stands still for a while. */
import { beforeAll, describe, expect, it } from "vitest";
import { bundled, chromium, withPage } from "../support/browser.js";

const missing = "this machine has no Chromium (CHROMIUM_PATH names one elsewhere)";

let script: string;
beforeAll(async () => {
  script = await bundled();
});

/** A training with momentum in the page: `training.step()`, `training.save()`, `training.weights()`; devices are kept in `devices`. */
const prepared = (backend: string) => `(() => {
  globalThis.devices = [];
  if (globalThis.GPUAdapter) {
    const request = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (...args) {
      const device = await request.apply(this, args);
      devices.push(device);
      return device;
    };
  }
  const { compile, grad, optim, Variable, decodeProgram } = library;
  const x = [[1, 2, 3], [0, 1, -1]];
  const start = () => {
    const w = new Variable([[0.5], [-0.25], [1]], { name: "w" });
    const optimizer = optim.sgd([w], { learningRate: 0.05, momentum: 0.9 });
    const step = compile(({ x }) => {
      const loss = x.matmul(w).sub(1).square().mean();
      optimizer.update(grad(loss, [w]));
      return { loss };
    }, { backend: "${backend}" });
    return wrap(step, () => w.data());
  };
  const load = async (bytes, backend) => {
    const program = await decodeProgram(bytes, { backend });
    return wrap(program, () => program.variables.get("w").data());
  };
  const wrap = (step, read) => ({
    run: async (n) => {
      let loss;
      for (let i = 0; i < n; i++) loss = (await step({ x })).loss.item();
      return loss;
    },
    save: () => step.encode(),
    weights: async () => (await read()).toNumbers(),
    release: () => step.release(),
  });
  globalThis.training = { start, load };
})()`;

describe("a WebGPU device lost in the middle of a training", () => {
  it("stops it with a sentence; it goes on from what was saved, on WebAssembly and on a new device", async ({
    skip,
  }) => {
    if (!chromium) skip(missing);
    const got = await withPage(script, { webgpu: true }, async (page) => {
      await page.evaluate(prepared("webgpu"));
      return page.evaluate(`(async () => {
        const whole = training.start();
        await whole.run(10);
        const expected = await whole.weights();
        const first = training.start();
        await first.run(4);
        const saved = await first.save();
        await first.run(2);
        devices.at(-1).destroy();
        await devices.at(-1).lost;
        const message = await first.run(1).catch(String);
        const weights = await first.weights().catch(String);
        await first.release();
        const finish = async (backend) => {
          const again = await training.load(saved, backend);
          await again.run(6);
          return again.weights();
        };
        return { expected, message, weights, wasm: await finish("wasm"), webgpu: await finish("webgpu"), devices: devices.length };
      })()`) as Promise<
        Record<"message" | "weights", string> & Record<"expected" | "wasm" | "webgpu", number[]> & { devices: number }
      >;
    });
    const sentence =
      /^LayerwiseError: backend "webgpu" has lost its device \(.+\), and with it the variables that were there; compile anew and go on from what was saved last$/;
    expect(got.message).toMatch(sentence);
    expect(got.weights).toMatch(sentence);
    expect(got.webgpu).toEqual(got.expected);
    expect(got.devices).toBe(2);
    for (const [i, w] of got.expected.entries()) expect(got.wasm[i]).toBeCloseTo(w, 5);
  });
});

describe("a page whose script is made to stand still, as a browser does with a tab that it freezes", () => {
  it("trains on when it may, with the same bits", async ({ skip }) => {
    if (!chromium) skip(missing);
    const got = await withPage(script, {}, async (page) => {
      await page.evaluate(prepared("wasm"));
      await page.evaluate(`(async () => {
        const whole = training.start();
        await whole.run(300);
        globalThis.expected = await whole.weights();
        globalThis.done = 0;
        const hidden = training.start();
        globalThis.finished = (async () => {
          for (; done < 300; done++) {
            await hidden.run(1);
            await new Promise((resolve) => setTimeout(resolve));
          }
          return hidden.weights();
        })();
      })()`);
      const client = await page.context().newCDPSession(page);
      await client.send("Debugger.enable");
      let stops = 0;
      client.on("Debugger.paused", () => stops++);
      for (let wanted = 1; wanted <= 5; wanted++) {
        const paused = new Promise((resolve) => client.once("Debugger.paused", resolve));
        await client.send("Debugger.pause");
        await paused;
        await new Promise((resolve) => setTimeout(resolve, 50));
        await client.send("Debugger.resume");
      }
      const weights = (await page.evaluate("finished")) as number[];
      return { stops, weights, expected: (await page.evaluate("expected")) as number[] };
    });
    expect(got.stops).toBe(5);
    expect(got.weights).toEqual(got.expected);
  });
});
