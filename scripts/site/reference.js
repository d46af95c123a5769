// The pages of the API reference, as Markdown: one for each folder of the sources, a section for each file.
import { readFileSync } from "node:fs";
import { publicApi } from "./declarations.js";

const root = new URL("../../", import.meta.url);

/** Folder, title and what is there, in the order of the list. */
const folders = [
  ["tensor", "Tensors", "Lazy tensors, variables, gradients, arrays of numbers; linear algebra on the host."],
  ["runtime", "Programs", "Compile, run, explain, save and load; the engines."],
  ["nn", "Layers", "Modules and what to do with them."],
  ["nn/norm", "Norms", "What takes `norm` takes these."],
  ["nn/placement", "Placements", "Where in a block the norms stand."],
  ["nn/positions", "Positions", "How tokens know where they are."],
  ["nn/recurrent", "Recurrent layers", "LSTM, GRU, plain cells, with norms inside."],
  ["models", "Models", "Whole networks for text and graphs."],
  ["models/vision", "Models for images", "ResNet, ViT, Swin, DenseNet, NFNet, inpainting."],
  [
    "models/pretrained",
    "Checkpoints of others",
    "How files of the Hugging Face hub, timm and others are read and written.",
  ],
  ["models/generation", "Generation", "Decoding with a cache, sampling."],
  ["objectives", "Objectives", "Losses."],
  ["optim", "Optimisers", "Update rules, groups, clipping, averages of weights."],
  ["data", "Text and records", "Texts, tokenizers, records, chat templates, safetensors."],
  ["data/images", "Images", "Pictures from files, shapes drawn by a program, augmentation."],
  ["data/graphs", "Graphs", "Graphs in batches, and their positions."],
  ["train", "Training", "The training loop and what belongs to it; federated learning; searches."],
  ["inspect", "Inspection", "Any inner number of a model or an ONNX file."],
  ["adapt", "Adaptation", "LoRA and other small changes to a trained model."],
  ["applications", "Applications", "Text generation, evaluation, export."],
];

/**
 * @returns {{ pages: { path: string, title: string, markdown: string }[], names: Map<string, string> }} `names` says at
 * which address below the site's root each exported name is explained.
 */
export function reference() {
  const { entries, methods } = publicApi();
  const unknown = [...new Set(entries.map(folderOf))].filter((folder) => !folders.some(([name]) => name === folder));
  if (unknown.length > 0)
    throw new Error(`scripts/site/reference.js: no page for what src/${unknown.join(", src/")} exports`);
  const names = new Map();
  const pages = folders.flatMap(([folder, title, about]) => {
    const own = entries.filter((entry) => folderOf(entry) === folder);
    return own.length === 0 ? [] : [page(fileOf(folder), title, about, own, names)];
  });
  pages.splice(1, 0, page("tensor-methods", "Methods of a tensor", "What every tensor can do.", methods, names));
  return { pages: [index(pages), ...pages], names: withShortNames(names) };
}

const folderOf = ({ source }) => source.replace(/^src\//, "").replace(/\/[^/]*$/, "");
const fileOf = (folder) => folder.replace("/", "-");

function page(file, title, about, entries, names) {
  const path = `api/${file}.html`;
  for (const { name, others } of entries) for (const any of [name, ...others]) names.set(any, `${path}#${name}`);
  const sources = [...new Set(entries.map(({ source }) => source))];
  const body = sources.map((source) =>
    section(
      source,
      entries.filter((entry) => entry.source === source),
    ),
  );
  return { path, title, about, entries, markdown: `# ${title}\n\n${about}\n\n${body.join("\n")}` };
}

function section(source, entries) {
  const head = headOf(source);
  const name = source.replace(/^.*\//, "").replace(/\.ts$/, "");
  const items = entries.map(({ name: entry, others, doc, code }) => {
    const text = head && doc.startsWith(head) ? doc.slice(head.length) : doc;
    const also = others.length > 0 ? `Also \`${others.join("`, `")}\`.\n\n` : "";
    return `### ${entry}\n\n\`\`\`ts\n${code}\n\`\`\`\n\n${prose(text)}\n\n${also}`;
  });
  return `## ${name === "index" ? "In general" : name.replaceAll("-", " ")}\n\n${prose(head)}\n\n[${source}](../${source})\n\n${items.join("")}`;
}

/** The docstring at the head of a file, where it is about the file: something else than a declaration follows. */
function headOf(source) {
  const text = readFileSync(new URL(source, root), "utf8");
  const [, comment] =
    /^\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(?=import|export \*|export \{|export type \{|\/\*\*|\/\/)/.exec(text) ?? [];
  return (comment ?? "").replace(/^[ \t]*\*? ?/gm, "").trim();
}

/** A docstring as Markdown: what is indented is a formula or code, unless it goes on with a list. */
function prose(doc) {
  const blocks = doc.split(/\n[ \t]*\n/).map((block) => {
    const lines = block.split("\n");
    const shift = lines.findIndex((line) => /^ {2}/.test(line));
    const list = /^\s*(?:[-*]|\d+\.) /.test(lines[0]);
    if (shift < 0 || list) return soften(block);
    const end = lines.findLastIndex((line) => /^ {2}/.test(line)) + 1;
    const parts = [lines.slice(0, shift), lines.slice(shift, end), lines.slice(end)].map((part) => part.join("\n"));
    return [soften(parts[0]), `\`\`\`text\n${parts[1].replace(/^ {2}/gm, "")}\n\`\`\``, soften(parts[2])].join("\n\n");
  });
  return blocks.join("\n\n");
}

/** Docstrings are written as text: a star is a product, a tilde says "about". */
const soften = (text) => text.replace(/(`[^`]*`)|[*_~<[\]]/g, (found, code) => code ?? `\\${found}`);

function index(pages) {
  const rows = pages.map(({ path, title, about, entries }) => {
    const spaces = [...new Set(entries.map(({ name }) => name.replace(/\.?[^.]*$/, "")))].map(
      (space) => space && `\`${space}\``,
    );
    return `| [${title}](${path.slice(4)}) | ${spaces.filter(Boolean).join(", ")} | ${entries.length} | ${about} |`;
  });
  const all = pages.flatMap(({ entries }) => entries);
  const count = all.filter(({ name }) => !name.startsWith("Tensor.")).length;
  const markdown = `# Reference

Everything that \`import { … } from "layerwise"\` gives, ${count} names, and the ${all.length - count} methods of a
tensor, from the docstrings of the sources. What stands in a
namespace is imported with it: \`import { nn } from "layerwise"\`, then \`nn.rmsNorm(64)\`. In browsers the package is the
same without what reads and writes files.

| page | namespace | names | |
| --- | --- | --- | --- |
${rows.join("\n")}
`;
  return { path: "api/index.html", title: "Reference", label: "Contents", markdown };
}

/** `RMSNorm` as well as `nn.RMSNorm`, where only one thing has that name. */
function withShortNames(names) {
  const all = new Map(names);
  const shared = new Set();
  for (const [name, address] of names) {
    const short = name.replace(/^.*\./, "");
    if (short === name || name.startsWith("Tensor.")) continue;
    if (all.has(short) && all.get(short) !== address) shared.add(short);
    else all.set(short, address);
  }
  for (const short of shared) if (!names.has(short)) all.delete(short);
  return all;
}
