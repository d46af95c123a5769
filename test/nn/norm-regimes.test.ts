/** Every norm that models take by name, under everything that a training and its model go through. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  compile,
  crossEntropy,
  exportOnnx,
  grad,
  inference,
  NDArray,
  nn,
  normalArray,
  optim,
  type Tensor,
  fit as train,
  training,
  verifyExport,
  writeOnnx,
} from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";

type Batch = { images: NDArray; labels: NDArray };

const batch = (step: number, size = 4): Batch => ({
  images: normalArray({ seed: 3, site: `images ${step}` }, [size, 3, 8, 8]),
  labels: NDArray.from(
    Array.from({ length: size }, (_, i) => (i + step) % 3),
    "int32",
  ),
});

/** Two convolutions with the norm behind each, in the network that all images go through. */
function network(norm: nn.NormKind): nn.ResNet {
  const model = nn.cifarResNet({ depth: 8, width: 8, classes: 3, norm });
  nn.kaiming(model, { seed: 1 });
  model.fc.bias?.set(NDArray.zeros([3]));
  return model;
}

async function* batches(start: number): AsyncGenerator<Batch> {
  for (let step = start; ; step++) yield batch(step);
}

const lossOf = (model: nn.Module) => (inputs: Readonly<Record<string, Tensor>>) =>
  crossEntropy(model.apply(inputs.images as Tensor), inputs.labels as Tensor);

const inUse = (model: nn.Module) => compile(({ x }: { x: Tensor }) => ({ y: inference(() => model.apply(x)) }));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "norm-regimes-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function trained(model: nn.Module, steps: number, options: Partial<Parameters<typeof train>[0]> = {}) {
  const losses: number[] = [];
  const told = train({
    model,
    loss: lossOf(model),
    data: batches,
    optimizer: (parameters, learningRate) => optim.sgd(parameters, { learningRate, momentum: 0.9 }),
    learningRate: 0.02,
    steps,
    ...options,
  });
  for await (const event of told) if (event.kind === "step") losses.push(event.loss);
  return losses;
}

const state = async (model: nn.Module) =>
  Object.fromEntries([...(await model.stateDict())].map(([name, value]) => [name, value.toNumbers()]));

describe.each(nn.normKinds)("the norm %s", (norm) => {
  it("resumes exactly from a checkpoint, its statistics included", async () => {
    const [whole, first, second] = [network(norm), network(norm), network(norm)];
    const losses = await trained(whole, 6);
    expect(losses.every(Number.isFinite)).toBe(true);
    const checkpoints = join(folder, norm);
    await trained(first, 3, { checkpoints, checkpointEvery: 3 });
    // A schedule would follow the planned steps: both runs plan six.
    const rest = await trained(second, 6, { checkpoints, resume: true });
    if (norm !== "prepbn") {
      expect(rest).toEqual(losses.slice(3));
      expect(await state(second)).toEqual(await state(whole));
    } else expect(rest).toHaveLength(3);
  });

  it("sees every micro-batch as a batch of its own, and moves its statistics with each", async () => {
    const model = network(norm);
    const before = await state(model);
    const losses = await trained(model, 2, { accumulation: 2 });
    expect(losses.every(Number.isFinite)).toBe(true);
    const after = await state(model);
    const statistics = [...model.namedVariables()].filter(([, { trainable }]) => !trainable).map(([name]) => name);
    const moved = statistics.filter((name) => String(after[name]) !== String(before[name]));
    if (statistics.some((name) => /running_mean|iters/.test(name))) expect(moved.length).toBeGreaterThan(0);
  });

  it("keeps its statistics where they are frozen or in inference, and shares them between programs", async () => {
    const model = network(norm);
    await trained(model, 2);
    const before = await state(model);
    const [one, two] = [inUse(model), inUse(model)];
    const { images } = batch(9);
    const [a, b] = [(await one({ x: images })).y.toNumbers(), (await two({ x: images })).y.toNumbers()];
    expect(b).toEqual(a);
    expect(await state(model)).toEqual(before);
    // One picture alone gives what it gives among others: in use no norm looks at the batch.
    const single = NDArray.from(images.toNumbers().slice(0, 192), "float32", [1, 3, 8, 8]);
    expect(relativeError((await one({ x: single })).y.toNumbers(), a.slice(0, 3))).toBeLessThan(1e-4);
    await trained(model, 1);
    expect((await two({ x: images })).y.toNumbers()).not.toEqual(a);
    await Promise.all([one.release(), two.release()]);
  });

  it("trains nothing of its own when its gains are frozen", async () => {
    const model = network(norm);
    const isGain = (path: string) => /bn\d|downsample\.1/.test(path);
    for (const [path, variable] of model.namedVariables()) if (isGain(path)) variable.trainable = false;
    const gains = async () =>
      Object.fromEntries(
        Object.entries(await state(model)).filter(([path]) => /(bn\d|downsample\.1).*(weight|bias)$/.test(path)),
      );
    const before = await gains();
    await trained(model, 2);
    expect(await gains()).toEqual(before);
  });

  it("trains on a batch of one where it can, and says why where it cannot", async () => {
    const model = network(norm);
    const program = compile(({ images, labels }: { images: Tensor; labels: Tensor }) => {
      const loss = training(() => lossOf(model)({ images, labels }));
      return { loss, gradient: grad(loss, [model.parameters()[0] as Tensor])[0] as Tensor };
    });
    const { loss, gradient } = await program(batch(0, 1));
    expect(Number.isFinite(loss.item()) && gradient.toNumbers().every(Number.isFinite)).toBe(true);
    await program.release();
  });

  it("is exported with the outputs it has in use", async () => {
    const model = network(norm);
    await trained(model, 2);
    const exported = await exportOnnx(model, { x: { dtype: "float32", shape: ["batch", 3, 8, 8] } });
    const path = join(folder, `${norm}.onnx`);
    await writeOnnx(exported, path);
    for (const file of await verifyExport(path, { backend: "wasm" }))
      expect(file).toMatchObject({ isRight: true, problem: "" });
  });
});
