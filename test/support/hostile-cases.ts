/**
 * Files that lie: one table over all formats that are read from outside. A case has the bytes of its file, the reader, and
 * the place (offset, line, key, tensor or node) that the error must name. Bytes are made when a case runs.
 */
import { execFileSync } from "node:child_process";
import { link, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { deflateSync, gzipSync } from "node:zlib";
import { readOnnx } from "../../src/applications/onnx-files.js";
import { chatTemplate } from "../../src/data/chat-template.js";
import { readEdgeList, readGraphJson, readTUDataset } from "../../src/data/graphs/node.js";
import { decodeImage } from "../../src/data/images/decode.js";
import { readCifar, readIdx } from "../../src/data/images/node.js";
import { fromPretrained } from "../../src/data/pretrained-files.js";
import { readRecords } from "../../src/data/records.js";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import { Tokenizer } from "../../src/data/tokenizer-files.js";
import { inspectOnnx, onnxInputs, onnxValues } from "../../src/inspect/index.js";
import { storedValue } from "../../src/inspect/onnx-values.js";
import { load } from "../../src/runtime/load.js";
import { readConfig } from "../../src/train/config.js";
import * as make from "./hostile-bytes.js";

type Beside = (folder: string) => unknown;

export interface HostileCase {
  readonly name: string;
  readonly file: string;
  readonly bytes: () => Uint8Array | string;
  /** The file that the error names, where it is another one beside it. */
  readonly named?: string;
  /** What lies beside it. */
  readonly beside?: Beside;
  readonly read: (path: string) => unknown;
  readonly place: RegExp;
  /** The error's code, where it is not "file". */
  readonly code?: string;
  /** Could take all time or memory if it were not refused: read in a process of its own, with little memory. */
  readonly isGreedy?: boolean;
  /** Bytes that reading may take beside the file's own size, where more is allowed than for others. */
  readonly most?: number;
}

type Bytes = Uint8Array | string | (() => Uint8Array | string);
type Extra = Partial<Pick<HostileCase, "file" | "named" | "beside" | "code" | "isGreedy" | "most">>;
type Row = readonly [name: string, bytes: Bytes, place: RegExp, extra?: Extra];

const table = (format: string, file: string, read: HostileCase["read"], rows: readonly Row[]): HostileCase[] =>
  rows.map(([name, bytes, place, extra]) => ({
    name: `${format}: ${name}`,
    file,
    bytes: typeof bytes === "function" ? bytes : () => bytes,
    read,
    place,
    ...extra,
  }));

const { safetensors, tensor, onnx, field, scalar, initializer, node, value, joined } = make;
const MiB = 2 ** 20;
const greedy: Extra = { isGreedy: true };

const one = (fields: string): string => `{"a":{"dtype":"F32",${fields}}}`;
const whole = () => safetensors({ a: tensor([1], [0, 4]) }, 4);
const wide = "x".repeat(MiB);

const safetensorsCases = table("safetensors", "model.safetensors", readSafetensors, [
  ["nothing at all", new Uint8Array(), /got 0 bytes/],
  ["a header of 2^63 bytes", safetensors("{}", 0, 2n ** 63n), /claims 9223372036854775808 bytes/],
  ["a header longer than the file", safetensors("{}", 0, 3n), /claims 3 bytes, the file has 2/],
  ["a header of no bytes", safetensors("", 0), /offset 0: .*begin with/],
  ["a header of 100 MB and one byte", safetensors("{}", 0, 100_000_001n), /allows at most 100000000/],
  ["a header that is a list", safetensors("[]"), /offset 0/],
  ["bytes behind the last tensor", safetensors({ a: tensor([1], [0, 4]) }, 5), /data offset 4\); expected none/],
  ["a space in front of the header", safetensors(" {}"), /offset 0/],
  ["a byte-order mark", safetensors("\ufeff{}"), /offset 0/],
  ["NUL behind the header", safetensors("{}\0"), /offset 2/],
  ["one tensor twice", safetensors(`${one('"shape":[1],"data_offsets":[0,4]').slice(0, -1)},"a":{}}`, 4), /"a"/],
  ["__proto__ that is no tensor", safetensors('{"__proto__":{"polluted":1}}'), /"__proto__".*"polluted"/],
  ["constructor that is no tensor", safetensors('{"constructor":[]}'), /offset 15: expected "\{"/],
  ["a negative dimension", safetensors({ a: tensor([-1], [0, 4]) }, 4), /tensor "a": shape.*got -1/],
  ["half a dimension", safetensors({ a: tensor([1.5], [0, 4]) }, 4), /tensor "a": shape.*got 1\.5/],
  ["a dimension of 1e400", safetensors(one('"shape":[1e400],"data_offsets":[0,4]'), 4), /tensor "a": shape.*1e400/],
  ["a dimension above 2^53", safetensors(one('"shape":[9007199254740993],"data_offsets":[0,4]'), 4), /"a": shape/],
  ["a shape whose product overflows", safetensors({ a: tensor([2 ** 31, 2 ** 31], [0, 4]) }, 4), /"a".*overflows/],
  ["a million axes", () => safetensors({ a: tensor(Array(1e6).fill(1), [0, 4]) }, 4), /"a": shape: more than 64/],
  [
    "tensors that overlap",
    safetensors({ a: tensor([1], [0, 4]), b: tensor([1], [2, 6]) }, 6),
    /"b": data_offsets begin at 2 and overlap/,
  ],
  ["a hole", safetensors({ a: tensor([1], [0, 4]), b: tensor([1], [8, 12]) }, 12), /"b": data_offsets begin at 8/],
  ["a tensor past the end", safetensors({ a: tensor([2], [0, 8]) }, 4), /"a": data_offsets end at 8/],
  ["offsets backwards", safetensors({ a: tensor([0], [4, 0]) }, 4), /"a": data_offsets \[4, 0\]/],
  ["an unknown type", safetensors({ a: tensor([1], [0, 4], "Q4_0") }, 4), /"a": dtype Q4_0/],
  ["a type that is a megabyte long", () => safetensors({ a: tensor([1], [0, 4], wide) }, 4), /"a": dtype x{40};/],
  ["a name that is a megabyte long", () => safetensors({ [wide]: tensor([2], [0, 4]) }, 4), /\(1048576 characters\)/],
  ["metadata of numbers", safetensors({ __metadata__: { step: 1 } }), /metadata "step"/],
  ["a ZIP file appended", () => joined(whole(), make.text("PK\x05\x06"), new Uint8Array(18)), /22 bytes follow/],
  ["a pickle", Uint8Array.of(0x80, 2, 0x7d, 0x71, 0, 0x2e, 0, 0), /claims \d+ bytes/],
  [
    "a million tensors, the last one wrong",
    () => {
      const entry = (i: number): string => `"${i}":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}`;
      return safetensors(`{${Array.from({ length: 1e6 }, (_, i) => entry(i)).join(",")},"last":1}`);
    },
    /offset \d{8}: expected "\{"/,
    greedy,
  ],
  ["nesting without end", () => safetensors(`{"a":${"[".repeat(10 * MiB)}`), /offset 5: expected "\{"/, greedy],
]);

const index = (places: unknown): string => JSON.stringify({ weight_map: places });
const shard =
  (name: string, lay: (from: string, to: string) => unknown): Beside =>
  async (folder) => {
    await writeFile(join(folder, "outside.bin"), whole());
    await lay(join(folder, "outside.bin"), join(folder, name));
  };

const indexCases = table("safetensors index", "model.safetensors.index.json", readSafetensors, [
  ["a shard in the folder above", index({ a: "../x.safetensors" }), /"a" is in "\.\.\/x\.safetensors"/],
  ["a detour out of the folder", index({ a: "y/../../x.safetensors" }), /"a" is in/],
  ["an absolute path", index({ a: "/etc/passwd" }), /"a" is in "\/etc\/passwd"/],
  ["a backslash", index({ a: "..\\x.safetensors" }), /"a" is in/],
  ["NUL in a name", index({ a: "x\0.safetensors" }), /"a" is in/],
  ["itself", index({ a: "model.safetensors.index.json" }), /"a" is in "model\.safetensors\.index\.json"/],
  [
    "a shard that is not there",
    index({ a: "none.safetensors" }),
    /none\.safetensors: .*ENOENT/,
    { named: "none.safetensors" },
  ],
  [
    "a symbolic link",
    index({ a: "s.safetensors" }),
    /s\.safetensors: .*link/,
    { named: "s.safetensors", beside: shard("s.safetensors", symlink) },
  ],
  [
    "a hard link",
    index({ a: "h.safetensors" }),
    /h\.safetensors: .*link/,
    { named: "h.safetensors", beside: shard("h.safetensors", link) },
  ],
  [
    "a pipe",
    index({ a: "p.safetensors" }),
    /p\.safetensors: .*a pipe/,
    { isGreedy: true, named: "p.safetensors", beside: shard("p.safetensors", (_, to) => execFileSync("mkfifo", [to])) },
  ],
  [
    "a tensor that its shard has not",
    index({ b: "x.safetensors" }),
    /tensor "b" is not in x\.safetensors/,
    { beside: (folder) => writeFile(join(folder, "x.safetensors"), whole()) },
  ],
  ["no list of places", "{}", /"weight_map"/],
  ["cut JSON", '{"weight_map":{"a"', /position \d+|JSON/],
  ["brackets without end", () => "[".repeat(50 * MiB), /deeper than 512 levels at character 512/, greedy],
  ["thirty million empty objects", () => `[${"{},".repeat(3e7)}{}]`, /objects and lists at character \d+/, greedy],
]);

const file = (change: object, model: object = {}): string =>
  JSON.stringify({ model: { type: "BPE", vocab: { a: 0, b: 1, ab: 2 }, merges: ["a b"], ...model }, ...change });
const splitter = (pattern: string): string =>
  file({ pre_tokenizer: { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated" } });
const openTokenizer = async (path: string): Promise<unknown> =>
  (await Tokenizer.open(join(path, ".."))).encode(`${"a".repeat(5000)}b`);

const tokenizerCases = table("tokenizer.json", "tokenizer.json", openTokenizer, [
  ["a repetition in a repetition", splitter("(a+)+$"), /pre_tokenizer\.pattern\.Regex/, greedy],
  ["six repetitions in a row", splitter("a*a*a*a*a*a*c"), /pre_tokenizer\.pattern\.Regex/, greedy],
  ["a choice in a repetition", splitter("(a|aa)+c"), /pre_tokenizer\.pattern\.Regex/, greedy],
  ["a pattern that is none", splitter("(("), /cannot (be used|encode)/],
  [
    "a million added tokens",
    () => file({ added_tokens: Array.from({ length: 1e6 }, (_, i) => ({ id: i + 3, content: `<${i}>` })) }),
    /added_tokens: 1000000 tokens/,
    greedy,
  ],
  ["a merge of what no token is", file({}, { merges: ["a b", "ab ab"] }), /model\.merges\[1\]: "abab"/],
  ["a merge of itself", file({}, { merges: ["a b", "ab a"] }), /model\.merges\[1\]/],
  ["half a surrogate pair", file({}, { vocab: { a: 0, "\ud800": 1 }, merges: [] }), /model\.vocab\["\\ud800"\]/],
  ["no token", file({}, { vocab: {}, merges: [] }), /model\.vocab: it is empty/],
  ["an id beyond 2^31", file({}, { vocab: { a: 2 ** 31 }, merges: [] }), /model\.vocab\["a"\]: the id is 2147483648/],
  ["an id that is negative", file({}, { vocab: { a: -1 }, merges: [] }), /model\.vocab\["a"\]: the id is -1/],
  ["one id for two tokens", file({}, { vocab: { a: 0, b: 0 }, merges: [] }), /model\.vocab\["b"\]/],
  ["a vocabulary that is a number", file({}, { vocab: 7 }), /model\.vocab: expected an object/],
  ["an unknown kind of model", file({}, { type: "Neural" }), /model\.type/],
  [
    "a prototype in a normalizer",
    file({}).replace(/\}$/, ',"normalizer":{"__proto__":{"type":"NFC"}}}'),
    /normalizer\.__proto__/,
  ],
  [
    "replacements that multiply",
    file({
      normalizer: {
        type: "Sequence",
        normalizers: Array.from({ length: 8 }, () => ({
          type: "Replace",
          pattern: { String: "a" },
          content: "aaaaaaaa",
        })),
      },
    }),
    /normalizer\.normalizers\.\d\.content: replacements could/,
    greedy,
  ],
  ["cut JSON", file({}).slice(0, 30), /not whole JSON/],
  ["brackets without end", () => "[".repeat(50 * MiB), /deeper than 512 levels/, greedy],
]);

const readTemplate = async (path: string): Promise<string> =>
  chatTemplate(await readFile(path, "utf8"), {}, path)([{ role: "user", content: "hi" }]);

const templateCases = table("chat template", "chat_template.jinja", readTemplate, [
  ["loops in loops", `${"{% for i in range(9999) %}".repeat(4)}x${"{% endfor %}".repeat(4)}`, /steps/, greedy],
  ["a text that doubles", `{% set a = "ab" %}${"{% set a = a + a %}".repeat(40)}`, /a value of more than/, greedy],
  ["a macro that calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", /call itself/, greedy],
  ["a way to a prototype", "{{ messages.constructor.constructor('return process')() }}", /constructor|call/],
]);

const yaml = "data: { path: a.txt }\n";
const configCases = table("configuration", "config.yaml", (path) => readConfig(path), [
  [
    "an alias bomb",
    `a: &a [x,x]\n${"bcdefghij".replace(/./g, (c, i) => `${c}: &${c} [*${"abcdefghi"[i]},*${"abcdefghi"[i]}]\n`)}`,
    /line 2, column 8: aliases/,
    { code: "config", isGreedy: true },
  ],
  ["a merge key", `${yaml}model:\n  <<: { layers: 2 }`, /line 3, column 3: merge keys/, { code: "config" }],
  ["__proto__", `${yaml}__proto__: { x: 1 }`, /line 2, column 1: the key "__proto__"/, { code: "config" }],
  ["NaN", `${yaml}learning_rate: .nan`, /line 2, column 16: \.nan/, { code: "config" }],
  ["1e309", `${yaml}learning_rate: 1e309`, /line 2, column 16: 1e309/, { code: "config" }],
  ["a key twice", `${yaml}seed: 1\nseed: 2`, /line 3, column 1: the key "seed"/, { code: "config" }],
  ["a number as a string", `${yaml}learning_rate: "1e-3"`, /learning_rate is "1e-3"/, { code: "config" }],
  ["a share where steps are meant", `${yaml}warmup_steps: 0.1`, /warmup_steps is 0\.1/, { code: "config" }],
  [
    "twenty thousand keys",
    () => yaml + Array.from({ length: 2e4 }, (_, i) => `k${i}: 1\n`).join(""),
    /unknown key "k0"/,
    { code: "config", isGreedy: true },
  ],
  ["thirty thousand tags", `a: [${"!x y,".repeat(3e4)}]`, /line 1, column 5/, { code: "config", isGreedy: true }],
  ["brackets without end", "[".repeat(19e4), /line 1, column \d+|YAML/, { code: "config", isGreedy: true }],
  ["nothing but closed brackets", "] ".repeat(9e4), /line 1, column 1/, { code: "config", isGreedy: true }],
  ["ten megabytes", () => `# ${"x".repeat(10 * MiB)}`, /expected at most 200000/, { code: "config" }],
  ["a folder", "", /got a folder/, { file: "." }],
]);

const llama = {
  model_type: "llama",
  ...{ hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 4, intermediate_size: 128, vocab_size: 100 },
  ...{ max_position_embeddings: 64, rms_norm_eps: 1e-5, hidden_act: "silu" },
};
const llamaWith = (change: object): string => JSON.stringify({ ...llama, ...change });
const readModel = (path: string): Promise<unknown> => fromPretrained(join(path, ".."));
const weights: Beside = (folder) => writeFile(join(folder, "model.safetensors"), whole());

const modelCases = table("config.json", "config.json", readModel, [
  ["NaN, which JSON has not", llamaWith({}).replace("64", "NaN"), /JSON/],
  ["a billion layers", llamaWith({ num_hidden_layers: 1e9 }), /num_hidden_layers: expected at most 1024/, greedy],
  ["a width of 2^40", llamaWith({ hidden_size: 2 ** 40 }), /hidden_size: expected at most/],
  ["no heads", llamaWith({ num_attention_heads: 0 }), /num_attention_heads: expected a whole number/],
  ["a prototype for a model", '{"__proto__":{"model_type":"llama"}}', /model_type/],
  [
    "2^27 words of 2^27 numbers, with weights of four bytes",
    llamaWith({ vocab_size: 2 ** 27, hidden_size: 2 ** 27 }),
    /a weight would be \[134217728, 134217728\]/,
    { beside: weights, isGreedy: true },
  ],
]);

const drain = async (path: string): Promise<void> => {
  for await (const _ of readRecords(path));
};
const good = '{"a":1}\n';

const recordCases = [
  ...table("JSONL", "data.jsonl", drain, [
    ["broken JSON", `${good}{"a":}\n`, /line 2.*not valid JSON/],
    ["a record that is cut", `${good}{"a":"x`, /line 2/],
    ["a list", "[1]\n", /line 1: expected an object/],
    ["__proto__", `${good}{"__proto__":{"x":1}}\n`, /line 2: the key "__proto__"/],
    ["NaN", `${good}{"a":NaN}\n`, /line 2.*not valid JSON/],
    ["invalid UTF-8", joined(make.text(good), [0x22, 0xff, 0x22]), /line 2: not valid UTF-8/],
    ["a line of 64 MiB", () => `${good}{"a":"${"x".repeat(64 * MiB)}"}`, /line 2: longer than 16777216/, greedy],
    ["fifteen million brackets on a line", () => `${good}${"[".repeat(15e6)}`, /line 2: .*character 512/, greedy],
    ["five million objects on a line", () => `{"a":[${"{},".repeat(5e6)}{}]}`, /line 1: .*objects and lists/, greedy],
    ["a pipe", "", /got a pipe/, { file: "pipe.jsonl", isGreedy: true, beside: pipe("pipe.jsonl") }],
  ]),
  ...table("gz", "data.jsonl.gz", drain, [
    ["a bomb on one line", () => gzipSync(new Uint8Array(100 * MiB).fill(32)), /line 1: longer than/, greedy],
    [
      "a bomb of many lines",
      () => gzipSync(new Uint8Array(100 * MiB).fill(10)),
      /unpack to more than 67108864/,
      greedy,
    ],
    ["a member that is cut", () => gzipSync(good.repeat(1000)).subarray(0, 40), /unpacked behind byte \d+/],
    [
      "a wrong checksum",
      () => gzipSync(good).map((byte, i, all) => (i === all.length - 6 ? byte ^ 1 : byte)),
      /behind byte \d+/,
    ],
    ["what is not packed", good, /unpacked behind byte 0/],
  ]),
  ...table("CSV", "data.csv", drain, [
    ["a quote left open over 17 MiB", () => `a\n"${`${"x".repeat(1023)}\n`.repeat(17 * 1024)}`, /line \d+/, greedy],
    ["__proto__ as a column", "a,__proto__\n1,2\n", /line 1, column 2/],
  ]),
  ...table("Parquet", "data.parquet", drain, [
    ["a footer longer than the file", joined(make.text("PAR1"), [255, 255, 255, 127], make.text("PAR1")), /2147483647/],
    [
      "a footer of other bytes",
      joined(make.text("PAR1"), Array(40).fill(0x19), [40, 0, 0, 0], make.text("PAR1")),
      /footer/,
    ],
    ["another file", "PAR2PAR2PAR2PAR2", /expected it to end in PAR1/],
  ]),
];

function pipe(name: string): Beside {
  return (folder) => execFileSync("sh", ["-c", 'rm -f "$0"; mkfifo "$0"', join(folder, name)]);
}

const readImage = async (path: string): Promise<unknown> => decodeImage(new Uint8Array(await readFile(path)), path);
const soi = [0xff, 0xd8];
const scan = make.segment(0xda, [1, 1, 0, 0, 63, 0]);
const small = { width: 2, height: 2 };

const imageCases = [
  ...table("PNG", "picture.png", readImage, [
    ["50,000 x 50,000 pixels", png({ width: 50_000, height: 50_000 }), /byte 16: 50000 x 50000 pixels/],
    ["a palette of 9,000 x 9,000 pixels in 12 kB", () => picturePng(9000, 1, 3), /byte 16: .*a bomb/, greedy],
    ["a second header", make.png(small, rows(2), make.ihdr({ width: 9999, height: 9999 })), /byte 33: a second IHDR/],
    [
      "four megabytes that unpack to four gigabytes",
      () => make.png({ width: 1500, height: 1000 }, new Uint8Array(0), make.chunk("IDAT", packedZeros(3e9))),
      /byte 16: .*unpack to more than/,
      greedy,
    ],
    ["a palette of a megabyte", () => make.png(small, rows(2), make.chunk("PLTE", new Uint8Array(3 * MiB))), /byte 33/],
    [
      "a chunk that claims 2 GiB",
      joined(make.pngSignature, make.ihdr(small), make.chunk("IDAT", rows(1), 2 ** 31)),
      /byte 33/,
    ],
    ["no end", make.png(small, rows(2)).subarray(0, -12), /byte \d+: the PNG ends here/],
    ["a depth of 7 bits", make.png({ ...small, depth: 7 }, rows(2)), /broken PNG of \d+ bytes/],
    ["half of the pixels", make.png({ width: 4, height: 4 }, new Uint8Array(14)), /broken PNG of \d+ bytes/],
    [
      "a colour that the palette has not",
      make.png({ ...small, color: 3 }, Uint8Array.of(0, 0, 9, 0, 0, 0), make.chunk("PLTE", new Uint8Array(3))),
      /pixel 1 has colour 9/,
    ],
    [
      "an SVG that loads another file",
      '<svg><image href="file:///etc/passwd"/></svg>',
      /byte 0: expected a PNG or JPEG/,
    ],
  ]),
  ...table("JPEG", "picture.jpg", readImage, [
    ["60,000 x 60,000 pixels", joined(soi, make.frame(60_000, 60_000), scan), /byte 7: 60000 x 60000/],
    [
      "9,000 x 9,000 pixels in forty bytes",
      joined(soi, make.frame(9000, 9000), scan),
      /byte 7: \d+ bytes cannot be/,
      greedy,
    ],
    ["two frames", joined(soi, make.frame(8, 8), make.frame(8, 8), scan), /byte 15: a second frame/],
    ["a thousand scans", joined(soi, make.frame(8, 8), ...Array(1000).fill(scan)), /more than 100 scans/, greedy],
    ["a component sampled 15 x 15", joined(soi, make.frame(8, 8, [[1, 0xff, 0]]), scan), /byte 13: .*sampled/],
    ["a segment past the end", joined(soi, make.segment(0xe0, [1], 60_000)), /byte 2: a segment of 60000/],
    ["a header and no more", joined(soi, make.frame(8, 8)), /byte 15: the JPEG ends here/],
    ["a scan without tables", joined(soi, make.frame(8, 8), scan, [1, 2, 3], [0xff, 0xd9]), /broken JPEG of \d+ bytes/],
  ]),
];

function rows(size: number): Uint8Array {
  return new Uint8Array(size * (1 + 3 * size));
}
function png(header: make.PngHeader): Uint8Array {
  return make.png(header, new Uint8Array(10));
}
function picturePng(size: number, depth: number, color: number): Uint8Array {
  const data = new Uint8Array(size * (1 + Math.ceil((size * depth) / 8)));
  return make.png({ width: size, height: size, depth, color }, data, make.chunk("PLTE", new Uint8Array(6)));
}
/** A deflate stream of zeros: one packed block of them again and again, so that making it takes no memory either. */
function packedZeros(size: number): Uint8Array {
  const block = 30 * MiB;
  const flushed = deflateSync(new Uint8Array(block), { finishFlush: 2 });
  return joined(flushed.subarray(0, 2), ...Array(Math.ceil(size / block)).fill(flushed.subarray(2)));
}

const idxCases = table("IDX", "images", (path) => readIdx(path, path), [
  ["a wrong magic", Uint8Array.of(1, 2, 3, 4), /byte 0/],
  ["elements of another type", make.idx([1], [1, 2, 3, 4], 13), /byte 2/],
  ["two hundred dimensions", Uint8Array.of(0, 0, 8, 200), /byte 3/],
  ["a header that is cut", Uint8Array.of(0, 0, 8, 3, 0), /byte 5: ends inside its header/],
  ["counts beyond the file", make.idx([60_000, 28, 28], [1]), /byte 16: 60000 x 28 x 28/],
  ["2^128 elements", make.idx(Array(4).fill(2 ** 32 - 1), [1]), /byte 20/],
  ["no images of 2^32 pixels", make.idx([0, 2 ** 32 - 1, 2 ** 32 - 1], []), /byte \d+|labels/],
]);

const cifarCases = table("CIFAR", "batch.bin", (path) => readCifar([path]), [
  ["a record that is cut", new Uint8Array(3073 + 2), /byte 3073/],
  ["nothing", new Uint8Array(), /byte 0/],
  ["a label that is none", joined([10], new Uint8Array(3072)), /byte 0: label 10/],
]);

const graphCases = [
  ...table("edge list", "graph.txt", (path) => readEdgeList(path, { nodes: 3 }), [
    ["an edge to a node that is not there", "0 1\n1 7\n", /line 2: node 7/],
    ["a node that is no number", "0 1\n1 x\n", /line 2/],
  ]),
  ...table("edge list", "graph.txt", (path) => readEdgeList(path), [
    ["a node beyond 2^31", "0 1\n1 9007199254740990\n", /line 2: a node beyond 2147483647/],
  ]),
  ...table("graph JSON", "graph.json", readGraphJson, [
    ["an edge to a node that is not there", '{"nodes":2,"edges":[[0,1],[1,2]]}', /edge 1 is 1 → 2/],
    ["ten million brackets", () => "[".repeat(1e7), /character 512/, greedy],
  ]),
  ...table("TU data set", "T_A.txt", (path) => readTUDataset(join(path, "..")), [
    [
      "a graph of the number 10^9",
      "1, 1\n",
      /T_graph_indicator\.txt: graph 1 has not a node/,
      {
        isGreedy: true,
        named: "T_graph_indicator.txt",
        beside: (folder) => writeFile(join(folder, "T_graph_indicator.txt"), "1000000000\n"),
      },
    ],
  ]),
];

const readModelFile = async (path: string): Promise<unknown> => {
  const model = await readOnnx(path);
  onnxValues(model, path);
  return model.graph.initializer.map((tensor) => storedValue(tensor, path));
};
const runModelFile = async (path: string): Promise<unknown> => {
  const model = await readOnnx(path);
  const outputs = model.graph.output.map(({ name }) => name);
  return inspectOnnx(model, outputs, onnxInputs(model, {}, path), {}, path);
};
const four = Uint8Array.of(1, 2, 3, 4);
const external = (place: Readonly<Record<string, string>>, dims = [1]): Uint8Array =>
  onnx(initializer("w", { dims, external: place }));
const values: Beside = async (folder) => {
  await writeFile(join(folder, "w.bin"), new Uint8Array(64));
  await writeFile(join(folder, "twice.bin"), new Uint8Array(64));
  await link(join(folder, "twice.bin"), join(folder, "again.bin"));
  await symlink("/etc", join(folder, "out"));
};
const near: Extra = { beside: values };
const nested = (times: number): Uint8Array => {
  let graph = node("Abs", ["x"], ["y"]);
  for (let i = 0; i < times; i++) graph = field(1, field(5, joined(field(1, "body"), field(6, graph))));
  return onnx(graph);
};

const onnxCases = [
  ...table("ONNX", "model.onnx", readModelFile, [
    ["nothing", new Uint8Array(), /holds no graph/],
    ["a number that is cut", Uint8Array.of(0x08, 0x80), /byte 1: a number is cut/],
    ["a number of eleven bytes", Uint8Array.of(0x08, ...Array(10).fill(0x80), 1), /byte 1: a number of more than ten/],
    ["a length beyond the rest", field(7, new Uint8Array(3), 4), /byte 0: field 7 of ModelProto ends at byte 6/],
    ["2 GiB in thirty bytes", joined(field(7, new Uint8Array(), 2n ** 31n), new Uint8Array(24)), /byte 0: field 7/],
    ["a length of 2^62", field(7, new Uint8Array(3), 2n ** 62n), /byte 0: field 7/],
    [
      "a message that leaves the one around it",
      joined(field(7, joined(field(1, new Uint8Array(2), 9))), new Uint8Array(16)),
      /byte 2: field 1 of GraphProto ends at byte 13/,
    ],
    ["graphs in graphs, ten thousand deep", () => nested(10_000), /byte \d+: \w+ is nested deeper than 100/, greedy],
    ["a field of another wire type", onnx(scalar(1, 3)), /field 1 of GraphProto has the wire type 0; expected 2/],
    ["a group", Uint8Array.of(0x3b, 0x3c), /byte 0: field 7 of ModelProto has the wire type 3/],
    ["a field 0", Uint8Array.of(0x00, 0x00), /byte 0: 0 is no number of a field/],
    ["ten million empty nodes", () => onnx(Buffer.alloc(2e7, Uint8Array.of(0x0a, 0))), /byte \d+: .*in memory/, greedy],
    [
      "ten million numbers of a byte each",
      () => onnx(field(5, field(7, Buffer.alloc(2e7, 1)))),
      /byte \d+: .*in memory/,
      greedy,
    ],
    [
      "bytes that do not fit the shape",
      onnx(initializer("w", { dims: [1000], raw: four })),
      /"w" has the shape \[1000\]/,
    ],
    ["a shape of 2^62", onnx(initializer("w", { dims: [2n ** 62n], raw: four })), /"w" has the shape/],
    ["a negative dimension", onnx(initializer("w", { dims: [-1n], raw: four })), /"w" has the shape \[-1\]/],
    [
      "an unknown type",
      onnx(initializer("w", { dims: [1], type: 99, raw: four })),
      /"w" is type 99/,
      { code: "dtype" },
    ],
    ["values in the folder above", external({ location: "../w.bin" }), /"w" lies in "\.\.\/w\.bin"/, near],
    ["values by a detour", external({ location: "junk/../../w.bin" }), /"w" lies in/, near],
    ["values behind a linked folder", external({ location: "out/hostname" }), /"w".*a link that leads out/, near],
    ["values behind a hard link", external({ location: "twice.bin" }), /"w".*hard link/, near],
    ["values at an absolute path", external({ location: "/etc/hostname" }), /"w" lies in/, near],
    ["values at offset -1", external({ location: "w.bin", offset: "-1" }), /"w".*offset "-1"/, near],
    ["values of 2^62 bytes", external({ location: "w.bin", length: String(2n ** 62n) }), /"w".*length/, near],
    [
      "values past the end of their file",
      external({ location: "w.bin", offset: "60", length: "8" }),
      /"w" is 8 bytes at 60/,
      near,
    ],
    ["values with a key that is none", external({ location: "w.bin", mode: "rw" }), /"w".*the key "mode"/, near],
    [
      "a thousand values of one file",
      () =>
        onnx(
          ...Array.from({ length: 1000 }, (_, i) =>
            initializer(`w${i}`, { dims: [8], external: { location: "w.bin", offset: String(i % 32), length: "32" } }),
          ),
        ),
      /"w2" at 2 .*overlaps/,
      near,
    ],
    ["a pipe", "", /got a pipe/, { file: "pipe.onnx", isGreedy: true, beside: pipe("pipe.onnx") }],
  ]),
  ...table("ONNX in the engine", "model.onnx", runModelFile, [
    [
      "an unknown domain",
      onnx(node("Neg", ["x"], ["y"], "evil"), value(11, "x", [1]), value(12, "y", [1])),
      /evil/,
      { code: "backend" },
    ],
    [
      "a cycle",
      onnx(node("Add", ["x", "b"], ["a"]), node("Neg", ["a"], ["b"]), value(11, "x", [1]), value(12, "b", [1])),
      /not acyclic/,
      { code: "backend" },
    ],
    [
      "one name for two outputs",
      onnx(node("Neg", ["x"], ["y"]), node("Abs", ["x"], ["y"]), value(11, "x", [1]), value(12, "y", [1])),
      /Duplicate definition of name \(y\)/,
      { code: "backend" },
    ],
    [
      "an input of 2^60 numbers",
      onnx(node("Neg", ["x"], ["y"]), value(11, "x", [2n ** 60n]), value(12, "y", [1])),
      /"x"/,
      { code: "argument" },
    ],
  ]),
  ...table("program", "program.onnx", (path) => load(path), [
    [
      "another's model",
      onnx(node("Neg", ["x"], ["y"]), value(11, "x", [1]), value(12, "y", [1])),
      /not saved by layerwise/,
    ],
    ["an operation of another domain", program(node("Neg", ["x"], ["y"], "evil")), /evil\.Neg/],
    ["a value of 2^40 bytes", program(value(11, "x", [2 ** 38])), /"x" would be/],
    [
      "one name for two outputs",
      program(value(11, "x", [1]), node("Neg", ["x"], ["y"]), node("Abs", ["x"], ["y"])),
      /"y" is made twice/,
    ],
    ["a node before what it reads", program(node("Neg", ["x"], ["y"]), node("Abs", ["y"], ["x"])), /reads "x" before/],
    ["a description that is none", program(value(11, "x", [1]), node("Neg", ["x"], ["y"])), /its description is not/],
    [
      "values outside the file",
      program(initializer("w", { dims: [1], external: { location: "w" } })),
      /"w" lies outside/,
    ],
    ["a pipe", "", /got a pipe/, { file: "pipe.onnx", isGreedy: true, beside: pipe("pipe.onnx") }],
  ]),
];

function program(...graph: readonly Uint8Array[]): Uint8Array {
  return joined(onnx(...graph), field(14, joined(field(1, "layerwise.program"), field(2, "{}"))));
}

export const hostileCases: readonly HostileCase[] = [
  ...[safetensorsCases, indexCases, tokenizerCases, templateCases, configCases, modelCases, recordCases, imageCases],
  ...[idxCases, cifarCases, graphCases, onnxCases],
].flat();
