/** `layerwise info <folder>`: what a checkpoint is, and what can be done with it. Reads no weights. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { readJson } from "../data/json-file.js";
import { openWeights, readConfigJson } from "../data/pretrained-files.js";
import { openSafetensors } from "../data/safetensors-file.js";
import { Tokenizer } from "../data/tokenizer-files.js";
import { isObject, modelFromConfig } from "../models/index.js";

const examples = `
Examples:
  $ layerwise info models/llama-3.2-1b
  $ layerwise info models/llama-3.2-1b --json`;

export function registerInfo(program: Command): void {
  program
    .command("info")
    .description("what a checkpoint folder holds, and what can be done with it")
    .argument("<folder>", "folder of a checkpoint or an adapter")
    .option("--json", "as JSON")
    .addHelpText("after", examples)
    .action(info);
}

async function info(folder: string, { json }: { readonly json?: true }): Promise<void> {
  if (existsSync(join(folder, "adapter_config.json")) && !existsSync(join(folder, "config.json")))
    return adapterInfo(folder, json);
  const facts = await factsOf(folder);
  if (json) process.stdout.write(`${JSON.stringify(facts, null, 2)}\n`);
  else process.stdout.write(`${text(folder.replace(/(?<=.)\/+$/, ""), facts)}\n`);
}

/** An adapter, and the checkpoint that it belongs to. */
async function adapterInfo(folder: string, json: true | undefined): Promise<void> {
  const config = await readJson(join(folder, "adapter_config.json"), 10_000_000);
  const { peft_type, r, lora_alpha, target_modules, base_model_name_or_path: base } = isObject(config) ? config : {};
  const weights = await openSafetensors(join(folder, "adapter_model.safetensors"));
  const infos = [...weights.tensors.values()];
  await weights.close();
  const adapter = {
    type: String(peft_type),
    rank: r,
    alpha: lora_alpha,
    targets: target_modules,
    parameters: infos.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    bytes: infos.reduce((sum, { start, end }) => sum + end - start, 0),
    base,
  };
  const hasBase = typeof base === "string" && existsSync(join(base, "config.json"));
  const facts = hasBase ? await factsOf(base) : undefined;
  if (json) {
    process.stdout.write(`${JSON.stringify({ adapter, base: facts ?? null }, null, 2)}\n`);
    return;
  }
  const targets = Array.isArray(target_modules) ? target_modules.join(", ") : String(target_modules);
  const lines = [
    `adapter        ${adapter.type}, rank ${r}, alpha ${lora_alpha}, on ${targets}`,
    `parameters     ${amount(adapter.parameters)} in ${infos.length} tensors, ${amount(adapter.bytes)}B`,
    `base           ${base}${hasBase ? "" : ", which is not a checkpoint folder here"}`,
    "",
  ];
  process.stdout.write(`${lines.join("\n")}\n${facts ? `${text(folder.replace(/(?<=.)\/+$/, ""), facts)}\n` : ""}`);
}

async function factsOf(folder: string) {
  const config = await readConfigJson(folder);
  const { config: sizes, options, lm_head: head } = modelFromConfig(config, join(folder, "config.json"));
  const weights = await openWeights(folder);
  try {
    const infos = [...weights.tensors.values()];
    const count = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
    const hasTokenizer = existsSync(join(folder, "tokenizer.json"));
    const tokenizer = hasTokenizer ? await Tokenizer.open(folder) : undefined;
    return {
      architecture: String(config.model_type),
      parameters: infos.reduce((sum, { shape }) => sum + count(shape), 0),
      bytes: infos.reduce((sum, { start, end }) => sum + end - start, 0),
      dtypes: [...new Set(infos.map(({ dtype }) => dtype))],
      tensors: infos.length,
      layers: sizes.layers,
      width: sizes.width,
      heads: sizes.heads,
      kvHeads: sizes.kvHeads,
      headWidth: sizes.headWidth,
      vocabulary: sizes.vocabulary,
      context: sizes.context,
      tied: !head && options.tieEmbeddings === true,
      tokenizer: tokenizer ? tokenizer.vocabulary : null,
      chatTemplate: Boolean(tokenizer?.config.chat_template),
      configBytes: statSync(join(folder, "config.json")).size,
    };
  } finally {
    await weights.close();
  }
}

type Facts = Awaited<ReturnType<typeof factsOf>>;

function text(folder: string, facts: Facts): string {
  const { parameters, bytes, dtypes, layers, width, heads, kvHeads, headWidth } = facts;
  const rows: [string, string][] = [
    ["architecture", `${facts.architecture}, ${layers} layers, width ${width}${facts.tied ? ", tied embeddings" : ""}`],
    ["attention", `${heads} heads of width ${headWidth}${kvHeads === heads ? "" : `, ${kvHeads} for keys and values`}`],
    ["parameters", `${amount(parameters)} in ${facts.tensors} tensors`],
    ["bytes", `${amount(bytes)}B as ${dtypes.join(", ")}; ${amount(4 * parameters)}B in memory as float32`],
    ["context", `${facts.context.toLocaleString("en")} tokens`],
    [
      "vocabulary",
      `${facts.vocabulary.toLocaleString("en")}${facts.tokenizer === null ? "" : `, tokenizer ${facts.tokenizer.toLocaleString("en")}`}`,
    ],
    ["chat template", facts.chatTemplate ? "yes" : "no"],
  ];
  const can = [
    ...(facts.tokenizer === null ? [] : [`layerwise generate ${folder} "Once upon a time"`]),
    ...(facts.chatTemplate ? [`layerwise chat ${folder}`] : []),
    ...(facts.tokenizer === null ? [] : [`layerwise serve ${folder}`]),
  ];
  const lines = rows.map(([name, value]) => `${name.padEnd(15)}${value}`);
  const wanting =
    facts.tokenizer === null ? ["", "There is no tokenizer.json, so it can be loaded but takes ids, not text."] : [];
  return [...lines, ...wanting, ...(can.length > 0 ? ["", "Try:", ...can.map((line) => `  ${line}`)] : [])].join("\n");
}

const amount = (n: number): string => {
  for (const [size, letter] of [
    [1e9, " G"],
    [1e6, " M"],
    [1e3, " k"],
  ] as const)
    if (n >= size) return `${(n / size).toFixed(n >= 10 * size ? 1 : 2)}${letter}`;
  return `${n} `;
};
