/**
 * Seeded damage to valid files, and the readers it is for: flipped bits, cuts, splices, and numbers put where lengths may be.
 * Whatever comes of it must be a value or a typed error.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeModel } from "../../src/compile/onnx/decode.js";
import { encodeGraph, encodeNode, encodeTensor, encodeValueInfo } from "../../src/compile/onnx/encode.js";
import { rebuild } from "../../src/compile/onnx/rebuild.js";
import { decodeImage } from "../../src/data/images/decode.js";
import { encodeSafetensors, parseSafetensors } from "../../src/data/safetensors.js";
import { Tokenizer } from "../../src/data/tokenizer.js";
import { decodeOnnx, encodeOnnx, type OnnxModel, onnxValues } from "../../src/inspect/index.js";
import { checkWhole, storedValue } from "../../src/inspect/onnx-values.js";
import { LayerwiseError } from "../../src/tensor/errors.js";
import { NDArray } from "../../src/tensor/ndarray.js";
import * as make from "./hostile-bytes.js";

/** The splitmix32 generator: whole numbers below `end`, the same for a seed everywhere. */
export function randomNumbers(seed: number): (end: number) => number {
  let state = seed >>> 0;
  return (end) => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return Math.floor(((z ^ (z >>> 15)) >>> 0) * 2 ** -32 * end);
  };
}

type Random = (end: number) => number;
type Damage = (bytes: Uint8Array) => Uint8Array;

export interface Target {
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  /** The file with a part of it damaged and the lengths around that part made right, so that deeper checks are reached. */
  readonly within: (bytes: Uint8Array, random: Random, damage: Damage) => Uint8Array;
  /** Reads all that there is to read. */
  readonly read: (bytes: Uint8Array) => void;
}

/** Numbers at which lengths, counts and types go wrong. */
const odd = [0, 1, 2, 7, 8, 127, 128, 255, 2 ** 16, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 53, 2 ** 63];
const digits = [
  "-1",
  "0",
  "1e9",
  "9007199254740993",
  "4294967296",
  "1e400",
  "[",
  "{}",
  '"',
  "null",
  "\\u0000",
  "99999999",
];

const mutations: readonly ((bytes: Uint8Array, random: Random, seeds: readonly Uint8Array[]) => Uint8Array)[] = [
  (bytes, random) => {
    for (let n = 1 + random(8); n > 0; n--) {
      const at = random(bytes.length);
      bytes[at] = (bytes[at] as number) ^ (1 << random(8));
    }
    return bytes;
  },
  (bytes, random) => {
    bytes[random(bytes.length)] = random(256);
    return bytes;
  },
  (bytes, random) => bytes.slice(0, random(bytes.length)),
  (bytes, random) => {
    const at = random(bytes.length);
    return make.joined(bytes.slice(0, at), bytes.slice(at + 1 + random(16)));
  },
  // A part of one file inside another.
  (bytes, random, seeds) => {
    const other = seeds[random(seeds.length)] as Uint8Array;
    const from = random(other.length);
    const at = random(bytes.length);
    return make.joined(bytes.slice(0, at), other.slice(from, from + random(64)), bytes.slice(at + random(16)));
  },
  // A length of eight bytes, or a number as protobuf has it.
  (bytes, random) => {
    const [at, value] = [random(bytes.length), odd[random(odd.length)] as number];
    const field = new Uint8Array(8);
    new DataView(field.buffer).setBigUint64(0, BigInt(value), true);
    bytes.set(field.subarray(0, bytes.length - at), at);
    return bytes;
  },
  (bytes, random) => {
    const [at, value] = [random(bytes.length), odd[random(odd.length)] as number];
    return make.joined(bytes.slice(0, at), make.varint(BigInt(value)), bytes.slice(at + 1));
  },
  // Text where a number stands.
  (bytes, random) => {
    const at = random(bytes.length);
    return make.joined(
      bytes.slice(0, at),
      make.text(digits[random(digits.length)] as string),
      bytes.slice(at + random(3)),
    );
  },
];

/** A file, damaged once or twice: anywhere, or inside what its lengths then hold. */
export function damaged({ seeds, within }: Target, random: Random): Uint8Array {
  let bytes: Uint8Array = (seeds[random(seeds.length)] as Uint8Array).slice();
  const damage: Damage = (part) =>
    part.length === 0
      ? part
      : (mutations[random(mutations.length)] as (typeof mutations)[number])(part.slice(), random, seeds);
  for (let n = 1 + random(2); n > 0; n--) bytes = random(4) > 0 ? within(bytes, random, damage) : damage(bytes);
  return bytes;
}

/** The header or the data. */
function withinSafetensors(bytes: Uint8Array, random: Random, damage: Damage): Uint8Array {
  const length = bytes.length < 8 ? 0 : Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length === 0 || length + 8 > bytes.length) return damage(bytes);
  const [header, data] = [bytes.slice(8, 8 + length), bytes.slice(8 + length)];
  if (random(4) === 0) return make.joined(bytes.slice(0, 8), header, damage(data));
  const changed = damage(header);
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setBigUint64(0, BigInt(changed.length), true);
  return make.joined(prefix, changed, data);
}

/** A chunk of a PNG, with the checksum that it then has. */
function withinPng(bytes: Uint8Array, random: Random, damage: Damage): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const starts: number[] = [];
  for (let at = 8; at + 12 <= bytes.length; at += 12 + view.getUint32(at)) starts.push(at);
  const at = starts[random(starts.length)];
  if (at === undefined || random(8) === 0) return damage(bytes);
  const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
  const end = at + 8 + view.getUint32(at);
  return make.joined(bytes.slice(0, at), make.chunk(kind, damage(bytes.slice(at + 8, end))), bytes.slice(end + 4));
}

const anywhere: Target["within"] = (bytes, _, damage) => damage(bytes);

/** A field of a message, of a message in it, and so on. */
function withinProtobuf(bytes: Uint8Array, random: Random, damage: Damage, depth = 0): Uint8Array {
  const fields = fieldsOf(bytes);
  const messages = fields.filter(({ body }) => body !== undefined);
  const chosen = messages[random(messages.length)];
  if (!chosen?.body || depth > 8 || random(8) === 0) return damage(bytes);
  const body = withinProtobuf(chosen.body, random, damage, depth + 1);
  const changed = make.joined(make.varint(chosen.tag), make.varint(body.length), body);
  return make.joined(bytes.slice(0, chosen.at), changed, bytes.slice(chosen.end));
}

interface Field {
  readonly at: number;
  readonly end: number;
  readonly tag: number;
  /** Of fields with a length. */
  readonly body?: Uint8Array;
}

/** The fields of a message; none where it is no message. Small files only: numbers of 32 bits. */
function fieldsOf(bytes: Uint8Array): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const number = (): number => {
    for (let [value, shift] = [0, 0]; ; shift += 7) {
      const byte = bytes[at++] ?? 128;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128 || at > bytes.length) return value;
    }
  };
  while (at < bytes.length) {
    const begin = at;
    const tag = number();
    if (tag % 8 === 2) {
      const length = number();
      if (at + length > bytes.length) return [];
      fields.push({ at: begin, end: at + length, tag, body: bytes.slice(at, at + length) });
      at += length;
      continue;
    }
    if (tag % 8 === 0) number();
    else if (tag % 8 === 1 || tag % 8 === 5) at += tag % 8 === 1 ? 8 : 4;
    else return [];
    if (at > bytes.length) return [];
    fields.push({ at: begin, end: at, tag });
  }
  return fields;
}

export interface Finding {
  readonly target: string;
  readonly input: number;
  readonly bytes: Uint8Array;
  readonly problem: string;
}

export interface Tally {
  read: number;
  refused: number;
}

/** One input; what is wrong with what came of it, or undefined. */
export function tryInput(target: Target, input: number, seed: number, tally: Tally): Finding | undefined {
  const bytes = damaged(target, randomNumbers(Math.imul(seed, 0x01000193) ^ input));
  try {
    target.read(bytes);
    tally.read++;
    return undefined;
  } catch (error) {
    tally.refused++;
    const found = { target: target.name, input, bytes };
    if (!(error instanceof LayerwiseError)) return { ...found, problem: `untyped: ${String(error)}` };
    if (!error.message.startsWith(source)) return { ...found, problem: `does not name the file: ${error.message}` };
    return undefined;
  }
}

const source = "fuzz.bin";

function seedTensors(): Uint8Array[] {
  const some = new Map<string, NDArray>([
    ["weight", NDArray.from([1.5, -2, 3, 4, 5, 6], "float32", [2, 3])],
    ["half", NDArray.from([1, 0.5], "float16")],
    ["mask", NDArray.from([1, 0, 1], "bool")],
    ["long", NDArray.from([7, -8], "int64")],
    ["empty", NDArray.zeros([0, 4])],
  ]);
  const files = [some, new Map([...some].slice(0, 1)), new Map<string, NDArray>()].map((tensors) => {
    const { head, parts } = encodeSafetensors(tensors, { format: "pt", note: "ünï" });
    return make.joined(head, ...parts);
  });
  return [...files, make.safetensors({ a: make.tensor([2], [0, 4], "BF16") }, 4)];
}

function seedModels(): Uint8Array[] {
  const ours = encodeGraph({
    name: "g",
    node: [
      encodeNode("mul", "MatMul", ["x", "w"], ["h"]),
      encodeNode("cut", "Slice", ["h", "from", "to", "axes"], ["s"]),
      encodeNode("soft", "Softmax", ["s"], ["y"], { axis: -1 }),
    ],
    initializer: [
      encodeTensor("w", NDArray.from([1, 2, 3, 4, 5, 6], "float32", [2, 3])),
      ...(["from", "to", "axes"] as const).map((name, i) =>
        encodeTensor(name, NDArray.from([i === 0 ? 0 : 1], "int64")),
      ),
    ],
    input: [encodeValueInfo("x", "float32", [4, 2])],
    output: [encodeValueInfo("y", "float32", [4, 1])],
  }) as OnnxModel;
  const body = make.field(5, make.joined(make.field(1, "then"), make.field(6, make.node("Abs", ["x"], ["z"]))));
  const { field, joined, initializer, node, onnx, value } = make;
  return [
    encodeOnnx(ours),
    onnx(
      field(1, joined(field(2, "y"), field(4, "If"), body)),
      initializer("far", { dims: [4], external: { location: "w.bin", offset: "0", length: "16" } }),
      initializer("b", { dims: [1], type: 16, raw: Uint8Array.of(0, 0x3f) }),
      value(11, "x", [1]),
    ),
    onnx(
      node("Neg", ["x"], ["y"]),
      field(5, joined(field(8, "l"), make.scalar(1, 3), make.scalar(2, 7), field(7, Uint8Array.of(1, 2, 3)))),
      value(12, "y", [3]),
    ),
  ];
}

const golden = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(join(process.cwd(), "test/golden/images", name)));

const vocabulary = { a: 0, b: 1, ab: 2 };
const tokenizer = {
  ...{ version: "1.0", added_tokens: [{ id: 3, content: "<x>", special: true }], normalizer: { type: "NFC" } },
  pre_tokenizer: { type: "Split", pattern: { Regex: "a+| ?[^a]" }, behavior: "Isolated", invert: false },
  ...{
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab: vocabulary, merges: ["a b"] },
  },
};

export const targets: readonly Target[] = [
  {
    name: "safetensors",
    seeds: seedTensors(),
    within: withinSafetensors,
    read: (bytes) => {
      for (const { data, size } of parseSafetensors(bytes, source).tensors.values())
        if (data.length !== size) throw new Error(`${data.length} numbers in a tensor of ${size}`);
    },
  },
  {
    name: "ONNX of others",
    seeds: seedModels(),
    within: withinProtobuf,
    read: (bytes) => {
      const model = decodeOnnx(bytes, source);
      onnxValues(model, source);
      checkWhole(model, source);
      for (const tensor of model.graph.initializer) storedValue(tensor, source);
    },
  },
  {
    name: "ONNX of ours",
    seeds: seedModels(),
    within: withinProtobuf,
    read: (bytes) => {
      encodeOnnx(rebuild(decodeModel(bytes, source), source).model as OnnxModel);
    },
  },
  {
    name: "PNG",
    seeds: ["rgb.png", "grey.png", "alpha.png", "palette.png", "bits.png", "deep.png"].map(golden),
    within: withinPng,
    read: (bytes) => {
      decodeImage(bytes, source);
    },
  },
  {
    name: "JPEG",
    seeds: [golden("photo.jpg")],
    within: anywhere,
    read: (bytes) => {
      decodeImage(bytes, source);
    },
  },
  {
    name: "tokenizer.json",
    seeds: [make.text(JSON.stringify(tokenizer))],
    within: anywhere,
    read: (bytes) => {
      const read = Tokenizer.from(new TextDecoder().decode(bytes), { name: source });
      read.decode(read.encode("ab<x>", { specials: false }));
    },
  },
];
