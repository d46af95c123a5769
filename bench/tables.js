/** The results of each part as tables of text, which the terminal and the README show alike. */

const thousands = (text) => text.replace(/\B(?=(\d{3})+(?!\d))/g, ",");

/** Three digits or so: 1,476, 454, 83, 7.6, 0.74. */
export function number(value) {
  const digits = value >= 20 ? 0 : value >= 1 ? 1 : 2;
  const [whole, rest] = value.toFixed(digits).split(".");
  return thousands(whole) + (rest ? `.${rest}` : "");
}

const same = ({ low, high }) => number(low) === number(high);
const spread = (figures) => (same(figures) ? "" : ` (${number(figures.low)} to ${number(figures.high)})`);
const ms = (figures) => `${number(figures.median)} ms${spread(figures)}`;
const gigabytes = (figures) => `${(figures.median / 1e9).toFixed(2)} GB`;
const percent = (share) => `${(100 * share).toFixed(0)} %`;
const millions = (count) => `${(count / 1e6).toFixed(1)} M parameters`;

/** How many times as fast (or as small) as this side we are, with how it varied from turn to turn. */
const times = (figures) => `**${number(figures.median)} times**${spread(figures)}`;
const against = (figures, own) => `${times(figures)}: ${own}`;

/** "PyTorch 1.13.0a0, OpenBLAS" */
const nameOf = ({ name, version, label }) => [version ? `${name} ${version}` : name, label].filter(Boolean).join(", ");
const skipped = ({ problem }) => `skipped: ${problem}`;

/** Beside the share of the matrix product, where the silicon's peak is known. */
const siliconShare = (gflops, silicon) =>
  silicon?.gflops ? `, ${percent(gflops / silicon.gflops)} of the silicon's peak (${number(silicon.gflops)})` : "";

function siliconNote(silicon) {
  if (!silicon) return "The share of the silicon's peak was not measured.";
  return silicon.problem
    ? `The silicon's peak is not known here: ${silicon.problem}.`
    : `The silicon's peak in float32: ${silicon.how}.`;
}

function stepTables({ sizes, smallBatch, silicon }) {
  const all = Object.values(sizes);
  const ours = ({ step, gflops, matmul, ofMatmul }) =>
    `${ms(step)}; ${number(gflops)} GFLOP/s, ${percent(ofMatmul)} of the same run's matmul (${number(matmul)})${siliconShare(gflops, silicon)}`;
  const cell = (peer) => (peer.problem ? skipped(peer) : against(peer.ratio, ms(peer.step)));
  const peers = all[0].peers.map((peer, i) => [nameOf(peer), ...all.map((size) => cell(size.peers[i]))]);
  return [
    {
      columns: ["GPT training step", ...all.map(({ title, parameters }) => `${title}, ${millions(parameters)}`)],
      rows: [
        ["layerwise", ...all.map(ours)],
        [`layerwise, ${smallBatch} rows`, ...all.map((size) => ms(size.smallBatch))],
        ...peers,
      ],
      notes: [
        `What has ${smallBatch} rows in its name is compared with our step at ${smallBatch} rows: TensorFlow.js's memory ends at 4 GiB. ` +
          "In Node both JavaScript peers have one thread only.",
        siliconNote(silicon),
      ],
    },
  ];
}

function startupTables({ sizes, peer }) {
  const all = Object.values(sizes);
  const row = (name, cell) => [name, ...all.map(cell)];
  return [
    {
      columns: ["start-up and memory of that step", ...all.map(({ title }) => title)],
      rows: [
        row("layerwise: draw the first weights", ({ weights }) => ms(weights)),
        row("layerwise: trace and compile", ({ build }) => ms(build)),
        row("layerwise: from the start of Node to the first step done", ({ first }) => ms(first)),
        row("layerwise: largest resident size", ({ peak }) => gigabytes(peak)),
        row(`${nameOf(peer)}: largest resident size`, ({ pytorch: theirs }) =>
          theirs ? against(theirs.ratio, gigabytes(theirs.peak)) : skipped(peer),
        ),
      ],
    },
  ];
}

const backendNames = (gpu) => ({
  wasm: "WebAssembly, all threads",
  webgpu: gpu ? "WebGPU" : "WebGPU by SwiftShader",
});

/** Two cells: the first step (or answer), and each further one. */
function pageCells(side) {
  if (side.problem) return [`fails: ${side.problem}`, ""];
  const cell = (ratio, figures) => (ratio ? against(ratio, ms(figures)) : ms(figures));
  return [cell(side.startRatio, side.start), cell(side.stepRatio, side.step)];
}

function browserTables({ problem, title, chromium, gpu = false, peers, backends }) {
  if (problem) return [{ columns: ["Chromium"], rows: [[`skipped: ${problem}`]] }];
  const names = Object.keys(backends);
  const row = (key, name) => [
    name,
    ...names.flatMap((backend) => (backends[backend][key] ? pageCells(backends[backend][key]) : ["", ""])),
  ];
  const theirs = Object.entries(peers).map(([key, peer]) =>
    peer.problem ? [nameOf(peer), skipped(peer)] : row(key, nameOf(peer)),
  );
  return [
    {
      columns: [
        `Chromium ${chromium.split(".")[0]}, from an empty page: GPT training step, ${title}`,
        ...names.flatMap((backend) => [`${backendNames(gpu)[backend]}: first step done`, "each step"]),
      ],
      rows: [row("layerwise", "layerwise"), ...theirs],
    },
  ];
}

function lossCell(figures) {
  if (!figures) return "not measured";
  const [median, low, high] = [figures.median, figures.low, figures.high].map((loss) => loss.toFixed(3));
  return low === high ? median : `${median} (${low} to ${high})`;
}

const took = ({ seconds }) => `${number(seconds.median)} s${spread(seconds)}`;
const lossCells = ({ loss, drawnLoss }) => [lossCell(loss), lossCell(drawnLoss)];

/** PyTorch with the kernels that are fastest, and how long training took with others; older results have one kind alone. */
function recipePeerRow({ variants, ...about }) {
  if (about.problem) return [nameOf(about), skipped(about), "", "", ""];
  const [best, ...others] = [...(variants ?? [about])].sort((a, b) => a.ratio.median - b.ratio.median);
  const training = [
    against(best.ratio, took(best)),
    ...others.map((other) => `${other.label}, ${against(other.ratio, took(other))}`),
  ];
  const { label = "other settings not measured" } = best;
  const place = others.length > 0 ? `, the fastest of ${1 + others.length} settings` : "";
  const start = against(best.startRatio, ms(best.startUp));
  return [nameOf({ ...about, label: label + place }), ...lossCells(best), training.join("; "), start];
}

function recipeTables({ title, steps, text, vocabulary, windows, drawnBatches = 20, layerwise, pytorch }) {
  return [
    {
      columns: [
        `nanoGPT's recipe for characters: ${title}, ${thousands(String(steps))} steps`,
        "validation loss, all windows",
        `validation loss, ${drawnBatches} drawn batches`,
        "training",
        "from the start of the process to the first step done",
      ],
      rows: [["layerwise", ...lossCells(layerwise), took(layerwise), ms(layerwise.startUp)], recipePeerRow(pytorch)],
      notes: [
        `Text: ${text}, ${vocabulary} characters. The loss is the mean over ${thousands(String(windows))} windows, one after the other, of its ` +
          `last tenth; beside it, as nanoGPT's own script tells it, over ${drawnBatches} batches drawn there, the same for all sides. ` +
          "Each turn has a seed of its own.",
      ],
    },
  ];
}

const typeNames = { fp32: "float32", q8: "8 bits (`q8`)", q4: "4 bits (`q4`)" };

function decodeTables({ size, types, memory, peak, peers }) {
  const rate = (figures) => `${number(figures.median)} tokens a second${spread(figures)}`;
  const cell = (figures, name) =>
    figures ? against(figures.ratio, rate(figures.rate)) : peers[name].problem ? skipped(peers[name]) : "";
  const rows = Object.entries(types).map(([type, own]) => [
    typeNames[type],
    rate(own.rate),
    ...Object.keys(peers).map((name) => cell(own.peers[name], name)),
    `${number(own.bound)}; ${percent(own.rate.median / own.bound)} of it`,
  ]);
  const notes = [
    `${size.tokens} tokens after ${size.prompt}, one row; sums read ${(memory / 1e9).toFixed(0)} GB/s here.` +
      " float16 is left out: the engine has no float16 products on the CPU." +
      (peak ? ` Loading a checkpoint takes ${(peak.loaded / peak.weights).toFixed(2)} times its weights.` : ""),
  ];
  const names = Object.entries(peers).map(([name, { version, label }]) => nameOf({ name, version, label }));
  const title = `decoding, ${size.layers} layers of ${size.width}`;
  return [{ columns: [title, "layerwise", ...names, "what memory allows"], rows, notes }];
}

function visionTables({ pytorch, tfjs, steps, browser }) {
  const rows = steps.map(({ title, step, pytorch: torch, tfjs: other }) => [
    title,
    ms(step),
    torch ? against(torch.ratio, ms(torch.step)) : skipped(pytorch),
    other ? `${times(other.ratio)}, ${other.backend === "wasm" ? "WebAssembly" : "JavaScript"}` : skipped(tfjs),
  ]);
  const columns = [
    "training step",
    "layerwise",
    `${nameOf(pytorch)}${bestOf(pytorch)}`,
    `${nameOf(tfjs)} in Node, small batch`,
  ];
  const notes = [
    "PyTorch's settings, all tried in each turn: its kinds of BLAS kernels, each with threads that wait asleep and that wait spinning; " +
      "the best one is taken for each network.",
  ];
  return [{ columns, rows, ...(!pytorch.problem && { notes }) }, pageTable(browser, nameOf(tfjs))];
}

/** Older results do not say how many there were. */
const bestOf = ({ problem, settings = "the" }) =>
  problem ? "" : ` (oneDNN), the best of ${settings} settings tried in the run`;

function pageTable({ problem, title, chromium, sides }, theirs) {
  if (problem) return { columns: ["Chromium"], rows: [[skipped({ problem })]] };
  return {
    columns: [`Chromium ${chromium.split(".")[0]}, WebAssembly, from an empty page: ${title}`, "first", "each further"],
    rows: Object.entries(sides).map(([name, side]) => [name === "tfjs" ? theirs : name, ...pageCells(side)]),
  };
}

function normTables({ gpt, resnet, folding }) {
  const row = ([name, { milliseconds, ratio }]) => [
    name,
    `${number(milliseconds)} ms`,
    `${number(ratio)} times as long`,
  ];
  return [
    {
      columns: ["training step of a GPT, 4 layers of 256", "", "against LayerNorm"],
      rows: Object.entries(gpt).map(row),
    },
    {
      columns: ["of a ResNet-20, 64 images of 32 × 32", "", "against BatchNorm"],
      rows: Object.entries(resnet).map(row),
    },
    {
      columns: ["one answer, folded or baked", "before", "after", "as fast"],
      rows: Object.entries(folding).map(([name, { before, after, ratio }]) => [
        ...[name, `${number(before)} ms`, `${number(after)} ms`, `${number(ratio)} times`],
      ]),
    },
  ];
}

function gpuTables({ problem, sizes }) {
  if (problem) return [{ columns: ["GPU"], rows: [[skipped({ problem })]] }];
  const all = Object.values(sizes);
  const cell = (one) => (one.problem ? skipped(one) : one.ratio ? against(one.ratio, ms(one.step)) : ms(one.step));
  const rows = all[0].figures.map(({ name }, i) => [name, ...all.map(({ figures }) => cell(figures[i]))]);
  return [{ columns: ["GPT training step on a GPU, WebGPU and CUDA", ...all.map(({ title }) => title)], rows }];
}

/** By part, in the order in which they are measured and shown. */
export const tablesOf = {
  step: stepTables,
  startup: startupTables,
  recipe: recipeTables,
  browser: browserTables,
  decode: decodeTables,
  vision: visionTables,
  norms: normTables,
  gpu: gpuTables,
};
