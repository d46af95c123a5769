/**
 * Training steps of networks on images and graphs against PyTorch (oneDNN) and TensorFlow.js, and a residual network in
 * Chromium's WebAssembly against TensorFlow.js there, cold start included. Peers take turns with us; those that are not
 * installed are said to be skipped. TensorFlow.js is installed into .bench by `npm install`, never for users.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compile, grad, NDArray, nn, normalArray, optim, training } from "../dist/index.js";

const here = import.meta.dirname;
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const stages = (planes, blocks) => planes.map((n, s) => ({ planes: n, blocks, stride: s === 0 ? 1 : 2 }));

/** `small` is the batch for TensorFlow.js, which is compared by the sample. */
export const sizes = {
  resnet20: {
    title: "ResNet-20, 64 images of 32 × 32",
    ...{ batch: 64, small: 4, size: 32, classes: 10 },
    stem: { width: 16, kernel: 3, stride: 1, pool: false },
    stages: stages([16, 32, 64], 3),
  },
  resnet18: {
    title: "ResNet-18, 8 images of 112 × 112",
    ...{ batch: 8, small: 1, size: 112, classes: 100 },
    stem: { width: 64, kernel: 7, stride: 2, pool: true },
    stages: stages([64, 128, 256, 512], 2),
  },
  vit: {
    title: "ViT, 6 layers of 192, 32 images of 32 × 32 in patches of 4",
    ...{ batch: 32, small: 4, size: 32, patch: 4, width: 192, layers: 6, heads: 3, hidden: 768, classes: 10 },
  },
  graph: {
    title: "graph transformer, 4 layers of 64, 32 graphs of 40 nodes, along edges",
    ...{ batch: 32, small: 4, nodes: 40, width: 64, layers: 4, heads: 4, classes: 3 },
  },
};

/** The graph network as peers have it: pre-norm blocks with batch norm, attention along edges by a mask. */
class GraphNet extends nn.Module {
  constructor({ width, layers, heads, classes }) {
    super();
    this.embed = new nn.Linear(16, width);
    this.blocks = Array.from({ length: layers }, () => new GraphBlock(width, heads));
    this.head = new nn.Linear(width, classes);
  }

  forward(x, mask) {
    return this.head.apply(this.blocks.reduce((y, block) => block.apply(y, mask), this.embed.apply(x)));
  }
}

class GraphBlock extends nn.Module {
  constructor(width, heads) {
    super();
    [this.norm1, this.norm2] = [nn.batchNorm(width, { axis: -1 }), nn.batchNorm(width, { axis: -1 })];
    [this.qkv, this.out] = [new nn.Linear(width, 3 * width), new nn.Linear(width, width)];
    [this.up, this.down] = [new nn.Linear(width, 2 * width), new nn.Linear(2 * width, width)];
    this.heads = heads;
  }

  forward(x, mask) {
    const [B, T, width] = x.shape;
    const [q, k, v] = this.qkv
      .apply(this.norm1.apply(x))
      .reshape([B, T, 3, this.heads, width / this.heads])
      .transpose([2, 0, 3, 1, 4])
      .split(1)
      .map((part) => part.reshape([B, this.heads, T, width / this.heads]));
    const scores = q.mul(1 / Math.sqrt(width / this.heads)).matmul(k.transpose([0, 1, 3, 2]));
    const mixed = scores.add(mask).softmax(-1).matmul(v).transpose([0, 2, 1, 3]).reshape([B, T, width]);
    const y = x.add(this.out.apply(mixed));
    return y.add(this.down.apply(this.up.apply(this.norm2.apply(y)).gelu()));
  }
}

const models = {
  resnet20: ({ classes }) => nn.cifarResNet({ depth: 20, classes }),
  resnet18: ({ classes }) => nn.resnet("18", { classes }),
  vit: ({ size, patch, ...options }) => nn.vit({ imageSize: size, patchSize: patch, ...options, norm: "layer" }),
  graph: (size) => new GraphNet(size),
};

/** A training step as a call. */
function stepOf(name, size, batch) {
  const model = models[name](size);
  const optimizer = optim.adamW(model.parameters(), { learningRate: 1e-4 });
  const program = compile(({ x, labels, mask }) => {
    const logits = training(() => (mask ? model.apply(x, mask) : model.apply(x)));
    const loss = nn.crossEntropy(logits.reshape([labels.size, size.classes]), labels);
    optimizer.update(grad(loss, optimizer.parameters));
    return { loss };
  });
  const { nodes } = size;
  const draw = (shape) => normalArray({ seed: 0, site: "x" }, shape);
  const feeds = {
    x: draw(nodes ? [batch, nodes, 16] : [batch, 3, size.size, size.size]),
    labels: NDArray.from(
      Int32Array.from({ length: batch * (nodes ?? 1) }, (_, i) => i % size.classes),
      "int32",
    ),
    ...(nodes && { mask: edges(batch, nodes) }),
  };
  return { run: () => program(feeds), release: () => program.release() };
}

/** 0 along an edge, else far below: three of ten pairs are edges. */
function edges(batch, nodes) {
  const values = normalArray({ seed: 1, site: "edges" }, [batch, 1, nodes, nodes]);
  return NDArray.from(
    values.toNumbers().map((z) => (z > 0.524 ? 0 : -1e9)),
    "float32",
    values.shape,
  );
}

async function timed(run, count, warmUp) {
  const times = [];
  for (let i = -warmUp; i < count; i++) {
    const start = performance.now();
    await run();
    if (i >= 0) times.push(performance.now() - start);
  }
  return times;
}

function pytorch(python, threads, steps) {
  if (!python) return undefined;
  const args = [join(here, "peers/pytorch-vision.py"), JSON.stringify(sizes), "--steps", String(steps)];
  const result = spawnSync(python.path, [...args, "--threads", String(threads)], { env: python.env, encoding: "utf8" });
  if (result.status !== 0) throw new Error(`PyTorch's benchmark failed: ${result.stderr}`);
  return JSON.parse(result.stdout);
}

/** A folder with TensorFlow.js, or why there is none. */
function tensorflow(cache) {
  const folder = join(cache, "tfjs");
  if (!existsSync(join(folder, "node_modules/@tensorflow/tfjs"))) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
    const packages = ["@tensorflow/tfjs@4.22.0", "@tensorflow/tfjs-backend-wasm@4.22.0"];
    const result = spawnSync("npm", ["install", "--no-audit", "--no-fund", ...packages], {
      cwd: folder,
      encoding: "utf8",
    });
    if (result.status !== 0) return { problem: "npm could not install it" };
  }
  return { folder };
}

/** Milliseconds of TensorFlow.js's training steps in Node, by name, at the small batches. */
function tensorflowSteps(folder, steps) {
  const script = `
    import * as tf from "@tensorflow/tfjs";
    import { tasks } from ${JSON.stringify(join(here, "peers/tfjs-vision.js"))};
    await tf.setBackend("cpu");
    const results = {};
    for (const [name, size] of Object.entries(${JSON.stringify(sizes)}))
      results[name] = await tasks(tf).train(name, size, size.small, ${steps});
    console.log(JSON.stringify(results));`;
  writeFileSync(join(folder, "steps.js"), script);
  const result = spawnSync(process.execPath, ["--no-warnings", "steps.js"], { cwd: folder, encoding: "utf8" });
  if (result.status !== 0) throw new Error(`TensorFlow.js's benchmark failed: ${result.stderr.slice(-600)}`);
  return JSON.parse(result.stdout.trim().split("\n").at(-1));
}

export async function visionBench({ rounds, threads, cache, python }) {
  const names = Object.keys(sizes);
  const ours = Object.fromEntries(names.map((name) => [name, []]));
  const small = Object.fromEntries(names.map((name) => [name, []]));
  const theirs = Object.fromEntries(names.map((name) => [name, []]));
  let version;
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const step = stepOf(name, sizes[name], sizes[name].batch);
      ours[name].push(...(await timed(step.run, 5, 3)));
      await step.release();
    }
    const peer = pytorch(python, threads, 5);
    version ??= peer?.version;
    for (const name of names) theirs[name].push(...(peer?.stepMilliseconds[name] ?? []));
  }
  const tf = tensorflow(cache);
  const tfSteps = tf.folder ? tensorflowSteps(tf.folder, 1) : undefined;
  if (tfSteps)
    for (const name of names) {
      const step = stepOf(name, sizes[name], sizes[name].small);
      small[name].push(...(await timed(step.run, 5, 2)));
      await step.release();
    }
  return {
    pytorch: version,
    tensorflow: tf.problem ?? "4.22.0, JavaScript backend",
    steps: Object.fromEntries(
      names.map((name) => [
        name,
        {
          title: sizes[name].title,
          milliseconds: median(ours[name]),
          ...(version && { pytorch: median(theirs[name]), ratio: median(theirs[name]) / median(ours[name]) }),
          ...(tfSteps && { tensorflowRatio: median(tfSteps[name]) / median(small[name]) }),
        },
      ]),
    ),
    ...(tf.folder && { browser: await browserBench(tf.folder, rounds) }),
  };
}

/** Milliseconds from an empty page to the first answer, and of each further one, for both. */
async function browserBench(folder, rounds) {
  const { openPage } = await import("./browser.js");
  const size = { ...sizes.resnet20, batch: 8 };
  const results = { ours: [], theirs: [] };
  const page = await openPage(folder, size);
  if (!page) return { problem: "no Chromium on this machine" };
  try {
    for (let round = 0; round < rounds; round++)
      for (const side of ["ours", "theirs"]) results[side].push(await page.run(side));
  } finally {
    await page.close();
  }
  const summary = (list) => ({
    start: median(list.map(({ start }) => start)),
    answer: median(list.flatMap(({ times }) => times)),
  });
  return {
    title: "ResNet-20, 8 images of 32 × 32, inference",
    ours: summary(results.ours),
    theirs: summary(results.theirs),
  };
}

export function visionLines({ pytorch: version, tensorflow: tf, steps, browser }) {
  const cell = (value, text) => (value === undefined ? "" : text);
  return [
    `Training steps; PyTorch ${version ?? "is not installed"}; TensorFlow.js ${tf} (by the sample, at small batches)`,
    ...Object.values(steps).map(
      ({ title, milliseconds, pytorch: theirs, ratio, tensorflowRatio }) =>
        `  ${title.padEnd(72)} ${milliseconds.toFixed(0).padStart(5)} ms${cell(ratio, `, PyTorch ${theirs?.toFixed(0)} ms: ${ratio?.toFixed(2)} ×`)}${cell(tensorflowRatio, `, TensorFlow.js: ${tensorflowRatio?.toFixed(0)} ×`)}`,
    ),
    ...(browser?.ours
      ? [
          `Chromium, WebAssembly: ${browser.title}`,
          `  layerwise      ${browser.ours.start.toFixed(0)} ms to the first answer, then ${browser.ours.answer.toFixed(1)} ms`,
          `  TensorFlow.js  ${browser.theirs.start.toFixed(0)} ms to the first answer, then ${browser.theirs.answer.toFixed(1)} ms`,
        ]
      : [`Chromium: ${browser?.problem ?? "TensorFlow.js is missing"}`]),
  ];
}
