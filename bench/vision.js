/**
 * Training steps of networks on images and graphs against PyTorch (oneDNN) and TensorFlow.js, and a residual network in
 * Chromium's WebAssembly against TensorFlow.js there, cold start included. Peers take turns with us; those that are not
 * installed are said to be skipped. TensorFlow.js is installed into .bench by `npm install`, never for users.
 */
import { join } from "node:path";
import { compile, grad, NDArray, nn, normalArray, optim, training } from "../dist/index.js";
import { noChromium, openPages, ours, pagesInTurns } from "./pages.js";
import { packaged, pytorch, runNode } from "./peers.js";
import { bestSetting, inTurns, median, ratio, summary, timed } from "./statistics.js";

const tasks = JSON.stringify(join(import.meta.dirname, "peers/tfjs-vision.js"));
const stages = (planes, blocks) => planes.map((n, s) => ({ planes: n, blocks, stride: s === 0 ? 1 : 2 }));

/** `small` is the batch for TensorFlow.js, which is compared by the sample; `steps` are those of a turn, half a second at least. */
const sizes = {
  resnet20: {
    title: "ResNet-20, 64 images of 32 × 32",
    ...{ batch: 64, small: 4, steps: 8, size: 32, classes: 10 },
    stem: { width: 16, kernel: 3, stride: 1, pool: false },
    stages: stages([16, 32, 64], 3),
  },
  resnet18: {
    title: "ResNet-18, 8 images of 112 × 112",
    ...{ batch: 8, small: 1, steps: 8, size: 112, classes: 100 },
    stem: { width: 64, kernel: 7, stride: 2, pool: true },
    stages: stages([64, 128, 256, 512], 2),
  },
  vit: {
    title: "ViT, 6 layers of 192, 32 images of 32 × 32 in patches of 4",
    ...{ batch: 32, small: 4, steps: 6, size: 32, patch: 4, width: 192, layers: 6, heads: 3, hidden: 768, classes: 10 },
  },
  graph: {
    title: "graph transformer, 4 layers of 64, 32 graphs of 40 nodes, along edges",
    ...{ batch: 32, small: 4, steps: 50, nodes: 40, width: 64, layers: 4, heads: 4, classes: 3 },
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

/** Milliseconds of TensorFlow.js's training steps in Node, by name, at the small batches. */
const tensorflowScript = (name, steps) => `
  import * as tf from "@tensorflow/tfjs";
  import "@tensorflow/tfjs-backend-wasm";
  import { tasks } from ${tasks};
  const size = ${JSON.stringify(sizes[name])};
  // WebAssembly has no gradient of a convolution's weights; where it cannot train a network, JavaScript must.
  for (const backend of ["wasm", "cpu"]) {
    await tf.setBackend(backend);
    try {
      const times = await tasks(tf).train("${name}", size, size.small, ${steps});
      console.log(JSON.stringify({ backend, times }));
      break;
    } catch (error) {
      if (backend === "cpu") throw error;
    }
  }`;

/** A side that makes a step anew in each turn and gives the median of some calls. */
const ourSide = (name, batch) => async () => {
  const step = stepOf(name, sizes[name], sizes[name][batch]);
  const times = await timed(step.run, sizes[name].steps, 3);
  await step.release();
  return median(times);
};

/** How threads of OpenMP wait: asleep (PyTorch's matrix products like that) or spinning (its convolutions do). */
const waits = ["PASSIVE", undefined];

/** PyTorch's times by network, in each of its settings: with each kind of BLAS kernels, and each way to wait. */
const inAllSettings = ({ variants }, args) =>
  variants.flatMap(({ run }) =>
    waits.map((OMP_WAIT_POLICY) => run("pytorch-vision.py", args, { OMP_WAIT_POLICY }).stepMilliseconds),
  );

/** Of one network, turn by turn, in the setting that is fastest for it. */
const fastest = (turns, name) =>
  bestSetting(
    turns.map((settings) => settings.map((times) => median(times[name]))),
    Math.min,
  );

/** Our steps at both batches, PyTorch's and TensorFlow.js's, turn by turn. */
async function trainingTurns({ turns, threads, quick }, torch, tf) {
  const names = quick ? ["graph"] : Object.keys(sizes);
  const chosen = JSON.stringify(Object.fromEntries(names.map((name) => [name, sizes[name]])));
  const sides = {};
  const backends = {};
  for (const name of names) sides[name] = ourSide(name, "batch");
  if (!torch.problem) sides.pytorch = () => inAllSettings(torch, [chosen, "--threads", threads]);
  for (const name of tf.problem ? [] : names) {
    sides[`small ${name}`] = ourSide(name, "small");
    sides[`tfjs ${name}`] = () => {
      const run = runNode(tensorflowScript(name, 1), { folder: tf.folder, title: tf.name });
      backends[name] = run.backend;
      return median(run.times);
    };
  }
  return { names, backends, values: await inTurns(sides, turns, "vision") };
}

export async function visionBench(options) {
  const [{ variants, ...torch }, tf] = [pytorch(), packaged("tfjs")];
  const { names, backends, values } = await trainingTurns(options, pytorch(), tf);
  const steps = names.map((name) => {
    const theirs = values.pytorch && fastest(values.pytorch, name);
    return {
      title: sizes[name].title,
      step: summary(values[name]),
      ...(theirs && { pytorch: { step: summary(theirs), ratio: ratio(theirs, values[name]) } }),
      ...(!tf.problem && {
        tfjs: { backend: backends[name], ratio: ratio(values[`tfjs ${name}`], values[`small ${name}`]) },
      }),
    };
  });
  const browser = tf.problem ? { problem: `TensorFlow.js is missing: ${tf.problem}` } : await browserBench(tf, options);
  return {
    pytorch: { ...torch, ...(variants && { settings: variants.length * waits.length }) },
    tfjs: { ...tf, folder: undefined },
    steps,
    browser,
  };
}

const pageSize = { ...sizes.resnet20, batch: 8 };

const ourPage = `
  import { compile, inference, nn, normalArray, setWasmPaths } from "layerwise";
  async function prepare() {
    setWasmPaths(location.origin + "/ort/");
    const model = nn.cifarResNet({ depth: 20, classes: ${pageSize.classes} });
    const program = compile(({ x }) => ({ y: inference(() => model.apply(x)) }));
    const x = normalArray({ seed: 0, site: "x" }, [${pageSize.batch}, 3, ${pageSize.size}, ${pageSize.size}]);
    return async () => {
      await program({ x });
    };
  }`;

const theirPage = `
  import * as tf from "@tensorflow/tfjs-core";
  import { setThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
  import { tasks } from ${tasks};
  async function prepare() {
    setWasmPaths(location.origin + "/tfjs/");
    setThreadsCount(navigator.hardwareConcurrency);
    await tf.setBackend("wasm");
    await tf.ready();
    return tasks(tf).inference("resnet20", ${JSON.stringify(pageSize)}, ${pageSize.batch});
  }`;

/** From an empty page to the first answer, and each further one. */
async function browserBench({ folder }, { turns }) {
  const sides = {
    layerwise: { ...ours, source: ourPage },
    tfjs: {
      ...{ folder, source: theirPage },
      served: { tfjs: join(folder, "node_modules/@tensorflow/tfjs-backend-wasm/dist") },
    },
  };
  const pages = await openPages(sides);
  if (!pages) return { problem: noChromium };
  try {
    const figures = await pagesInTurns(pages, Object.keys(sides), { turns, count: 10, title: "vision in Chromium" });
    return { title: "ResNet-20 answers for 8 images of 32 × 32", chromium: pages.version, sides: figures };
  } finally {
    await pages.close();
  }
}
