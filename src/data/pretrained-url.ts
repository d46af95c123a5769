/** Checkpoints over HTTP, for pages: the files of a folder on the Hugging Face hub, wherever they are served. */
import { type GPT, type HFConfig, isObject, loadWeights, modelFromConfig } from "../models/index.js";
import { fail } from "../tensor/index.js";
import { checkLayout, decodeTensor, headerLength, type TensorInfo } from "./safetensors.js";
import { parseHeader } from "./safetensors-header.js";
import { Tokenizer } from "./tokenizer.js";

export interface FetchOptions {
  /** Bytes so far and in all (0 while the server does not say), of the weights. */
  readonly onProgress?: (loaded: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface FetchedCheckpoint {
  readonly model: GPT;
  /** Nothing where the folder has none. */
  readonly tokenizer: Tokenizer | undefined;
  /** Tokens that end a text, as its settings say. */
  readonly endTokens: readonly number[];
}

/**
 * The model and tokenizer of the folder at `url`. One file of weights is held at a time, beside the model.
 *
 * @throws LayerwiseError "file" naming the address and what is wrong with it; an aborted signal's reason.
 */
export async function fetchPretrained(url: string | URL, options: FetchOptions = {}): Promise<FetchedCheckpoint> {
  const base = new URL(String(url).replace(/\/?$/, "/"), globalThis.location?.href);
  const at = (name: string) => new URL(name, base).href;
  const { signal } = options;
  const config =
    (await json(at("config.json"), signal)) ??
    fail("file", `${at("config.json")}: not there; expected a checkpoint folder`);
  const model = modelFromConfig(config, at("config.json"));
  const index = await json(at("model.safetensors.index.json"), signal);
  const files = index ? shardNames(index, at("model.safetensors.index.json")) : ["model.safetensors"];
  const sources = new Map<string, Tensors>();
  for (const name of files) sources.set(name, await tensorsAt(at(name), options));
  await loadWeights(
    model,
    {
      tensors: new Map([...sources.values()].flatMap(({ tensors }) => [...tensors])),
      read: async (name) => {
        const source = [...sources.values()].find(({ tensors }) => tensors.has(name));
        return source?.read(name) ?? fail("file", `${base}: no tensor "${name}"`);
      },
    },
    base.href,
  );
  const file = await json(at("tokenizer.json"), signal);
  const settings = await json(at("tokenizer_config.json"), signal);
  const template = await textOf(at("chat_template.jinja"), signal);
  const tokenizer =
    file &&
    Tokenizer.from(file, {
      config: { ...settings, ...(template !== undefined && { chat_template: template }) },
      name: at("tokenizer.json"),
    });
  const generation = await json(at("generation_config.json"), signal);
  const ends = [generation, config].map((values) => values?.eos_token_id).find((value) => value != null);
  const own = ends === undefined ? tokenizer?.eos : ends;
  const endTokens = (Array.isArray(own) ? own : [own]).filter((id): id is number => Number.isInteger(id));
  return { model, tokenizer, endTokens };
}

interface Tensors {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  read(name: string): ReturnType<typeof decodeTensor> | undefined;
}

async function tensorsAt(url: string, options: FetchOptions): Promise<Tensors> {
  const bytes = await bytesAt(url, options);
  const length = headerLength(bytes.subarray(0, 8), bytes.length, url);
  const data = bytes.subarray(8 + length);
  const layout = checkLayout(parseHeader(bytes.subarray(8, 8 + length), url), data.length, url);
  const tensors = new Map(layout.map((info) => [info.name, info]));
  return {
    tensors,
    read: (name) => {
      const info = tensors.get(name);
      return info && decodeTensor(info, data.slice(info.start, info.end), url);
    },
  };
}

/** Into one buffer of the size that the server names, so that no file is held twice. */
async function bytesAt(url: string, { onProgress, signal }: FetchOptions): Promise<Uint8Array<ArrayBuffer>> {
  const response = await get(url, signal);
  if (!response?.body) return fail("file", `${url}: not there; expected safetensors`);
  const named = Number(response.headers.get("content-length"));
  const total = response.headers.get("content-encoding") ? 0 : named;
  let bytes = new Uint8Array(total);
  let loaded = 0;
  const reader = response.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (loaded + part.value.length > bytes.length) {
      const larger = new Uint8Array(Math.max(2 * bytes.length, loaded + part.value.length));
      larger.set(bytes);
      bytes = larger;
    }
    bytes.set(part.value, loaded);
    loaded += part.value.length;
    onProgress?.(loaded, total);
  }
  return bytes.length === loaded ? bytes : bytes.slice(0, loaded);
}

function shardNames(index: Readonly<Record<string, unknown>>, where: string): string[] {
  const names = isObject(index.weight_map) ? [...new Set(Object.values(index.weight_map))] : [];
  const isPlain = (name: unknown): name is string =>
    typeof name === "string" && /^[^./\\\0][^/\\\0]*\.safetensors$/.test(name);
  return names.length > 0 && names.every(isPlain)
    ? names
    : fail("file", `${where}: expected "weight_map" from tensors to plain *.safetensors names`);
}

async function json(url: string, signal: AbortSignal | undefined): Promise<HFConfig["values"] | undefined> {
  const text = await textOf(url, signal);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return fail("file", `${url}: not JSON`, { cause });
  }
  return isObject(value) ? value : fail("file", `${url}: expected an object`);
}

const textOf = async (url: string, signal: AbortSignal | undefined): Promise<string | undefined> =>
  (await get(url, signal))?.text();

/** Nothing where it is not there; servers of single-page applications answer with their page then. */
async function get(url: string, signal: AbortSignal | undefined): Promise<Response | undefined> {
  const response = await fetch(url, signal ? { signal } : {}).catch((cause: Error) => {
    if (signal?.aborted) throw signal.reason;
    return fail("file", `${url}: cannot be fetched (${cause.message})`, { cause });
  });
  if (response.status === 404 || response.headers.get("content-type")?.startsWith("text/html")) return undefined;
  return response.ok ? response : fail("file", `${url}: the server answers ${response.status} ${response.statusText}`);
}
