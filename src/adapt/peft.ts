/**
 * Adapters in the format of Hugging Face's PEFT: a configuration (`adapter_config.json`) and tensors named
 * `base_model.model.<path>.lora_A.weight` [r, in], `….lora_B.weight` [out, r]. Paths are those of the Hugging Face model,
 * which for Llama-like ones are ours. This file needs no file system; `lora-files.ts` reads and writes folders.
 */
import { type AnyModule, Linear } from "../nn/index.js";
import { fail, formatShape, type NDArray } from "../tensor/index.js";
import { type Lora, type LoraOptions, lora } from "./lora.js";
import { byPattern, endsIn, expression, lastOf, type Targets, targetLayers } from "./targets.js";

export interface PeftFiles {
  /** The parsed `adapter_config.json`. */
  readonly config: unknown;
  /** The tensors of `adapter_model.safetensors`. */
  readonly tensors: ReadonlyMap<string, NDArray>;
}

export interface AdapterOptions {
  /** The adapter's name here (default "default"). */
  readonly name?: string;
  /** Go on training it (default false: in use, frozen). */
  readonly train?: boolean;
  /** Names the files in errors. */
  readonly where?: string;
}

const prefix = "base_model.model.";

/**
 * Put an adapter from PEFT's files on a model, in use instead of those before it. Throws, naming them, for settings that
 * are not supported, and for an adapter of another base: layers that are missing, tensors missing, left over or of
 * another shape. Nothing is changed then.
 */
export function fromPeft<M extends AnyModule>(
  model: M,
  { config, tensors }: PeftFiles,
  { name = "default", train = false, where = "adapter" }: AdapterOptions = {},
): Lora<M> {
  const options = readConfig(config, where);
  const values = new Map(Array.from(tensors, ([key, value]) => [withoutPrefix(key, where), value] as const));
  checkBase(model, options, values, where);
  const handle = lora(model, { ...options, name });
  handle.loadStateDict(name, values);
  if (!train) handle.use(name);
  return handle;
}

export interface PeftNotes {
  /** Where the base came from, for PEFT to find it. */
  readonly base?: string;
  /** PEFT's task type (default "CAUSAL_LM"). */
  readonly taskType?: string;
}

/** An adapter as PEFT's files. Throws for an unknown name. */
export async function toPeft(handle: Lora, name: string, { base, taskType = "CAUSAL_LM" }: PeftNotes = {}) {
  const values = await handle.stateDict(name);
  const layers = [...handle.layers].filter(([, { adapters }]) => adapters.includes(name));
  const settings = new Map(layers.map(([path, layer]) => [path, layer.settings[name] as LayerSettings]));
  const of = (key: "rank" | "alpha") => new Map(Array.from(settings, ([path, own]) => [path, own[key]]));
  const [rank, alpha] = [most(of("rank")), most(of("alpha"))];
  const { dropout, rslora } = [...settings.values()][0] as LayerSettings;
  const config = {
    peft_type: "LORA",
    task_type: taskType,
    base_model_name_or_path: base ?? null,
    auto_mapping: null,
    revision: null,
    inference_mode: true,
    r: rank.value,
    lora_alpha: alpha.value,
    lora_dropout: dropout,
    use_rslora: rslora,
    use_dora: false,
    target_modules: targetNames(handle.model, [...settings.keys()]),
    rank_pattern: rank.others,
    alpha_pattern: alpha.others,
    bias: "none",
    fan_in_fan_out: false,
    init_lora_weights: true,
    layers_to_transform: null,
    layers_pattern: null,
    modules_to_save: null,
  };
  return { config, tensors: new Map(Array.from(values, ([path, value]) => [`${prefix}${path}`, value])) };
}

type LayerSettings = { rank: number; alpha: number; dropout: number; rslora: boolean };

/** The commonest value, and by path those that differ from it. */
function most(values: ReadonlyMap<string, number>): { value: number; others: Record<string, number> } {
  const counts = new Map<number, number>();
  for (const value of values.values()) counts.set(value, (counts.get(value) ?? 0) + 1);
  const [[value] = [0]] = [...counts].sort(([, a], [, b]) => b - a);
  return { value, others: Object.fromEntries([...values].filter(([, own]) => own !== value)) };
}

/** Last names where they choose exactly these layers, else whole paths. */
function targetNames(model: AnyModule, paths: readonly string[]): string[] {
  const names = [...new Set(paths.map(lastOf))].sort();
  const linears = [...model.namedModules()].filter(([, module]) => module instanceof Linear);
  const chosen = linears.filter(([path]) => names.some((name) => endsIn(path, name)));
  return chosen.length === paths.length ? names : [...paths];
}

function withoutPrefix(key: string, where: string): string {
  if (!key.startsWith(prefix) || !/\.lora_[AB]\.weight$/.test(key))
    fail("file", `${where}: tensor "${key}"; expected names such as "${prefix}<path>.lora_A.weight"`);
  return key.slice(prefix.length);
}

/** That the adapter is one of this base: the same layers, of these shapes. */
function checkBase(
  model: AnyModule,
  { targets, rank = 8, rankPattern = {} }: LoraOptions,
  values: ReadonlyMap<string, NDArray>,
  where: string,
): void {
  const linears = new Map(
    [...model.namedModules()].filter((entry): entry is [string, Linear] => entry[1] instanceof Linear),
  );
  const stored = new Set(Array.from(values.keys(), (key) => key.replace(/\.lora_[AB]\.weight$/, "")));
  const absent = [...stored].filter((path) => !linears.has(path));
  if (absent.length > 0) refuse(where, "the model has no Linear at", absent);
  const chosen = targetLayers(model, targets as Targets);
  const missing = [...chosen.keys()].filter((path) => !stored.has(path));
  if (missing.length > 0) refuse(where, "the file has no tensors for its target", missing);
  const extra = [...stored].filter((path) => !chosen.has(path));
  if (extra.length > 0) refuse(where, "its target_modules do not choose", extra);
  const wrong = [...chosen].flatMap(([path, { inputs, outputs }]) => {
    const r = byPattern(path, rankPattern, rank);
    return (
      [
        [`${path}.lora_A.weight`, [r, inputs]],
        [`${path}.lora_B.weight`, [outputs, r]],
      ] as const
    ).flatMap(([key, shape]) => {
      const found = values.get(key)?.shape;
      if (found && formatShape(found) === formatShape(shape)) return [];
      return [`${key} ${found ? `is ${formatShape(found)}` : "is missing"}, expected ${formatShape(shape)}`];
    });
  });
  if (wrong.length > 0) refuse(where, "it does not fit:", wrong);
}

const refuse = (where: string, what: string, names: readonly string[]): never =>
  fail(
    "file",
    `${where} is of another base: ${what} ${names.slice(0, 5).join(", ")}${names.length > 5 ? ` and ${names.length - 5} more` : ""}`,
  );

/** Starting points that leave the base as it is, so that A and B alone are the adapter. */
const plainStarts = new Set<unknown>([undefined, null, true, false, "gaussian", "eva", "orthogonal", "mica"]);

/** Keys that change nothing here: where things came from, and settings of what is refused or of starting points. */
const harmless = new Set(
  `peft_type task_type base_model_name_or_path auto_mapping revision inference_mode peft_version runtime_config
  megatron_core init_lora_weights loftq_config eva_config corda_config lora_ga_config qalora_group_size fan_in_fan_out
  r lora_alpha lora_dropout use_rslora target_modules exclude_modules layers_to_transform layers_pattern rank_pattern
  alpha_pattern bias ensure_weight_tying`.split(/\s+/),
);

/** PEFT's configuration as options of `lora`. Throws for what is missing, of another type or not supported, by name. */
function readConfig(config: unknown, where: string): LoraOptions {
  const refuse = (message: string): never => fail("config", `${where}: ${message}`);
  if (!isRecord(config)) return refuse("expected a JSON object");
  const { peft_type, bias = "none", init_lora_weights: start } = config;
  if (peft_type !== "LORA") refuse(`peft_type is ${JSON.stringify(peft_type)}; expected "LORA"`);
  if (bias !== "none") refuse(`bias is ${JSON.stringify(bias)}, which is not supported; expected "none"`);
  if (!plainStarts.has(start))
    refuse(
      `init_lora_weights is ${JSON.stringify(start)}, which also changes the base's weights; convert it to a plain adapter with PEFT (save_pretrained with path_initial_model_for_weight_conversion)`,
    );
  const unknown = Object.entries(config).filter(([key, value]) => !harmless.has(key) && !isEmpty(value));
  if (unknown.length > 0)
    refuse(unknown.map(([key, value]) => `${key} is ${JSON.stringify(value)}, which is not supported`).join("; "));
  const number = (key: string, otherwise: number): number => {
    const value = config[key] ?? otherwise;
    return typeof value === "number" ? value : refuse(`${key} is ${JSON.stringify(value)}; expected a number`);
  };
  const numbers = (key: string): Record<string, number> => {
    const value = config[key] ?? {};
    if (isRecord(value) && Object.values(value).every((each) => typeof each === "number"))
      return value as Record<string, number>;
    return refuse(`${key} is ${JSON.stringify(value)}; expected numbers by layer`);
  };
  return {
    rank: number("r", 8),
    alpha: number("lora_alpha", 8),
    dropout: number("lora_dropout", 0),
    rslora: config.use_rslora === true,
    rankPattern: numbers("rank_pattern"),
    alphaPattern: numbers("alpha_pattern"),
    targets: readTargets(config, refuse),
  };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isEmpty = (value: unknown): boolean =>
  value === null || value === false || (typeof value === "object" && Object.keys(value as object).length === 0);

/** Paths that PEFT's settings choose: its list or regular expression, of these layers, without the excluded ones. */
function readTargets(config: Record<string, unknown>, refuse: (message: string) => never): Targets {
  const { target_modules: targets, exclude_modules: exclude, layers_to_transform: layers, layers_pattern } = config;
  const names = (key: string, value: unknown): ((path: string) => boolean) => {
    if (typeof value === "string") {
      const full = expression(`(?:${value})$`, value);
      return (path) => full.test(path);
    }
    if (Array.isArray(value) && value.every((each) => typeof each === "string"))
      return (path) => value.some((name: string) => endsIn(path, name));
    return refuse(`${key} is ${JSON.stringify(value)}; expected names or a regular expression`);
  };
  if (typeof targets === "string" && targets.toLowerCase() === "all-linear") return "all-linear";
  const chosen = names("target_modules", targets);
  const excluded = isEmpty(exclude ?? null) ? () => false : names("exclude_modules", exclude);
  const indices = isEmpty(layers ?? null) ? undefined : [layers].flat();
  if (indices?.some((index) => !Number.isInteger(index)))
    refuse(`layers_to_transform is ${JSON.stringify(layers)}; expected numbers of layers`);
  const holders = isEmpty(layers_pattern ?? null) || layers_pattern === "" ? [] : [layers_pattern].flat().map(String);
  const numbered = holders.map((holder) => expression(`(?:.*?\\.)?(?:${holder})\\.(?<layer>\\d+)\\.`, holder));
  if (numbered.length === 0) numbered.push(/^.*?\.[^.]*\.(?<layer>\d+)\./);
  // As in PEFT: the first numbered part of a path is the layer; a path that is listed whole is chosen whatever it is.
  const inLayers = (path: string): boolean => {
    if (!indices || typeof targets === "string" || (targets as string[]).includes(path)) return true;
    const found = numbered.map((expression) => expression.exec(path)).find((match) => match !== null);
    return found !== undefined && indices.includes(Number(found?.groups?.layer));
  };
  return (path) => chosen(path) && inLayers(path) && !excluded(path);
}
