import { execFileSync } from "node:child_process";
import { link, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeSafetensors, parseSafetensors } from "../../src/data/safetensors.js";
import { openSafetensors, readSafetensors, writeSafetensors } from "../../src/data/safetensors-file.js";
import { LayerwiseError } from "../../src/tensor/errors.js";
import { NDArray } from "../../src/tensor/ndarray.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "safetensors-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** A file from a header (text or value) and data, with the length field as it should be unless given. */
function file(header: unknown, dataBytes = 0, length?: bigint): Uint8Array {
  const text = typeof header === "string" ? header : JSON.stringify(header);
  const json = new TextEncoder().encode(text);
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const entry = (shape: unknown, offsets: unknown, dtype: unknown = "F32") => ({ dtype, shape, data_offsets: offsets });
const one = (fields: string): string => `{"a":{"dtype":"F32",${fields}}}`;

const samples = new Map<string, NDArray>([
  ["weight", NDArray.from([1.5, -2, 3, 4, 5, 6], "float32", [2, 3])],
  ["half", NDArray.from([1, 0.5], "float16")],
  ["double", NDArray.from([Math.PI], "float64")],
  ["ids", NDArray.from([1, -2], "int32")],
  ["long", NDArray.from([7, -8], "int64")],
  ["small", NDArray.from([-1, 127, 3], "int8")],
  ["byte", NDArray.from([255, 0], "uint8")],
  ["mask", NDArray.from([1, 0, 1], "bool")],
  ["scalar", NDArray.from(2, "float32")],
  ["empty", NDArray.zeros([0, 4])],
  ["__proto__", NDArray.from([9], "float32")],
  ["constructor", NDArray.from([8], "float32")],
]);

describe("writing, then reading", () => {
  test("gives back every dtype, shape, value and the metadata", async () => {
    const path = join(folder, "all.safetensors");
    await writeSafetensors(path, samples, { format: "pt", note: "ünïcode" });
    const { tensors, metadata } = await readSafetensors(path);
    expect(metadata).toEqual({ format: "pt", note: "ünïcode" });
    expect(new Map([...tensors].sort())).toEqual(new Map([...samples].sort()));
  });

  test("leaves only the file: no temporary one", async () => {
    const own = await mkdtemp(join(folder, "own-"));
    await writeSafetensors(join(own, "a.safetensors"), samples);
    expect(await readdir(own)).toEqual(["a.safetensors"]);
  });

  test("aligns the data to eight bytes and orders it widest first, as the reference writer does", () => {
    const { head } = encodeSafetensors(samples);
    const text = new TextDecoder().decode(head.subarray(8));
    expect(head.length % 8).toBe(0);
    expect(Object.keys(JSON.parse(text)).slice(0, 3)).toEqual(["__metadata__", "double", "long"]);
  });

  test("any tensors survive", () => {
    const tensor = fc
      .array(fc.float({ noNaN: true }), { maxLength: 8 })
      .map((values) => NDArray.from(values, "float32", [values.length, 1]));
    const names = fc.string({ unit: "grapheme" }).filter((name) => name !== "__metadata__");
    fc.assert(
      fc.property(fc.array(fc.tuple(names, tensor)), (pairs) => {
        const tensors = new Map(pairs);
        const { head, parts } = encodeSafetensors(tensors);
        const bytes = Buffer.concat([head, ...parts]);
        expect(new Map([...parseSafetensors(bytes).tensors].sort())).toEqual(new Map([...tensors].sort()));
      }),
    );
  });

  test("BF16 is read as float32", () => {
    const bytes = file({ a: entry([2], [0, 4], "BF16") }, 4);
    bytes.set([0xc0, 0x3f, 0x00, 0xc0], bytes.length - 4);
    expect(parseSafetensors(bytes).tensors.get("a")).toEqual(NDArray.from([1.5, -2], "float32"));
  });

  test("an opened file reads one tensor at a time and names an absent one", async () => {
    const path = join(folder, "lazy.safetensors");
    await writeSafetensors(path, samples);
    const reader = await openSafetensors(path);
    expect((await reader.read("weight")).toArray()).toEqual([
      [1.5, -2, 3],
      [4, 5, 6],
    ]);
    expect(reader.tensors.get("weight")?.shape).toEqual([2, 3]);
    await expect(reader.read("nothing")).rejects.toThrow('no tensor named "nothing"');
    await reader.close();
  });

  test.each([
    ["a reserved name", new Map([["__metadata__", NDArray.zeros([1])]]), {}, "reserved"],
    ["a lone surrogate", new Map([["\ud800", NDArray.zeros([1])]]), {}, "not valid Unicode"],
    ["metadata that is not strings", new Map(), { step: 3 as unknown as string }, '"step" is a number'],
  ])("refuses to write %s", (_, tensors, metadata, message) => {
    expect(() => encodeSafetensors(tensors, metadata)).toThrow(message);
  });

  test("a folder that is not there is a typed error", async () => {
    await expect(writeSafetensors(join(folder, "no", "a"), samples)).rejects.toMatchObject({ code: "file" });
  });
});

describe("accepted", () => {
  test.each<[string, unknown, number]>([
    ["an empty header", {}, 0],
    ["spaces after the header", '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}   ', 4],
    ["spaces inside the header", '{ "a" : { "dtype" : "F32" , "shape" : [ 1 ] , "data_offsets" : [ 0 , 4 ] } }', 4],
    ["escaped names", '{"\\u0061\\n\\"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4],
    ["tensors out of order", { a: entry([1], [4, 8]), b: entry([1], [0, 4]) }, 8],
    ["empty tensors between others", { a: entry([1], [0, 4]), z: entry([0], [4, 4]), b: entry([1], [4, 8]) }, 8],
  ])("%s", (_, header, dataBytes) => {
    expect(() => parseSafetensors(file(header, dataBytes))).not.toThrow();
  });
});

describe("refused", () => {
  const many = `{${'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'.repeat(2)}`.replace(/,$/, "}");
  const cases: [string, Uint8Array, RegExp][] = [
    ["no bytes", new Uint8Array(0), /at least 8 bytes/],
    ["seven bytes", new Uint8Array(7), /at least 8 bytes/],
    ["header length 0", file(""), /begin with "\{"/],
    ["header length 2^63", file("{}", 0, 2n ** 63n), /claims 9223372036854775808 bytes/],
    ["header length 2^64 - 1", file("{}", 0, 2n ** 64n - 1n), /allows at most 100000000/],
    ["header length 100 MB + 1", file("{}", 0, 100_000_001n), /allows at most 100000000/],
    ["header longer than the file", file("{}", 0, 3n), /the file has 2 after/],
    ["header that is a list", file("[]"), /begin with "\{"/],
    ["header that is null", file("null"), /begin with "\{"/],
    ["leading spaces", file("  {}"), /begin with "\{"/],
    ["byte-order mark", file("\ufeff{}"), /begin with "\{"/],
    ["NUL after the header", file("{}\0"), /only spaces after/],
    ["NUL inside the header", file('{\0"a":1}'), /expected a string/],
    ["invalid UTF-8", new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0, 0xff]), /not valid UTF-8/],
    ["text after the header", file("{}{}"), /only spaces after/],
    ["header cut in a string", file('{"a'), /not closed/],
    ["header cut after a key", file('{"a"'), /expected ":"/],
    ["trailing comma", file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},}', 4), /expected a string/],
    ["deep nesting", file(`{"a":${"[".repeat(100_000)}`), /expected "\{"/],
    ["duplicate tensor", file(many, 4), /duplicate tensor "a"/],
    ["duplicate tensor by escape", file(many.replace(/"a"(?=.*"a")/, '"\\u0061"'), 4), /duplicate tensor "a"/],
    ["duplicate metadata", file('{"__metadata__":{},"__metadata__":{}}'), /duplicate key "__metadata__"/],
    ["duplicate metadata key", file('{"__metadata__":{"k":"1","k":"2"}}'), /duplicate metadata key "k"/],
    ["metadata of numbers", file({ __metadata__: { a: 1 } }), /metadata "a": expected a string/],
    ["metadata that is a list", file({ __metadata__: [] }), /expected "\{"/],
    ["repeated shape", file(one('"shape":[1],"shape":[1],"data_offsets":[0,4]'), 4), /repeated key "shape"/],
    ["unknown key", file(one('"shape":[1],"data_offsets":[0,4],"url":"x"'), 4), /unexpected or repeated key "url"/],
    ["missing shape", file(one('"data_offsets":[0,4]'), 4), /expected the keys/],
    ["three offsets", file({ a: entry([1], [0, 4, 8]) }, 4), /needs two numbers, got 3/],
    ["shape that is a number", file({ a: entry(1, [0, 4]) }, 4), /expected "\["/],
    ["negative dimension", file({ a: entry([-1], [0, 4]) }, 4), /whole number.*got -1/],
    ["fractional dimension", file({ a: entry([1.5], [0, 4]) }, 4), /got 1\.5/],
    ["dimension 1e400", file(one('"shape":[1e400],"data_offsets":[0,4]'), 4), /got 1e400/],
    ["dimension 1e2", file(one('"shape":[1e2],"data_offsets":[0,4]'), 4), /got 1e2/],
    ["dimension 01", file(one('"shape":[01],"data_offsets":[0,4]'), 4), /got 01/],
    ["dimension above 2^53", file(one('"shape":[9007199254740993],"data_offsets":[0,4]'), 4), /got 9007199254740993/],
    ["dimension as a string", file({ a: entry(["1"], [0, 4]) }, 4), /expected a whole number/],
    ["shape product overflow", file({ a: entry([2 ** 31, 2 ** 31, 2 ** 31], [0, 4]) }, 4), /overflows/],
    ["shape product overflow behind a zero", file({ a: entry([0, 2 ** 52, 2 ** 52], [0, 0]) }), /overflows/],
    ["shape that wraps to the right size", file({ a: entry([2 ** 32, 2 ** 32, 1], [0, 0]) }), /overflows/],
    ["negative offset", file({ a: entry([1], [-4, 0]) }, 4), /got -4/],
    ["offsets backwards", file({ a: entry([0], [4, 0]) }, 4), /run backwards/],
    ["offset past the end", file({ a: entry([2], [0, 8]) }, 4), /end at 8, the file holds 4/],
    ["overlap", file({ a: entry([1], [0, 4]), b: entry([1], [2, 6]) }, 6), /tensor "b".*overlap.*expected 4/],
    ["hole", file({ a: entry([1], [0, 4]), b: entry([1], [8, 12]) }, 12), /tensor "b".*hole.*expected 4/],
    ["hole at the start", file({ a: entry([1], [4, 8]) }, 8), /hole/],
    ["size that does not fit the shape", file({ a: entry([2], [0, 4]) }, 4), /F32\[2\] needs 8 bytes, got 4/],
    ["trailing bytes", file({ a: entry([1], [0, 4]) }, 5), /1 bytes follow the last tensor/],
    ["another format appended", file({ a: entry([1], [0, 4]) }, 4 + 22), /22 bytes follow/],
    ["unknown dtype", file({ a: entry([1], [0, 4], "Q4_0") }, 4), /dtype Q4_0; expected one of F64/],
    ["dtype from the prototype", file({ a: entry([1], [0, 4], "constructor") }, 4), /dtype constructor/],
    ["truth value of 2", file({ a: entry([1], [0, 1], "BOOL") }, 1).fill(2, -1), /BOOL element 0 is 2/],
    ["lone surrogate", file('{"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4), /lone surrogate/],
    ["bad escape", file('{"\\x":{}}'), /bad escape/],
  ];

  test.each(cases)("%s", (_, bytes, message) => {
    expect(() => parseSafetensors(bytes, "x.safetensors")).toThrow(message);
    expect(() => parseSafetensors(bytes, "x.safetensors")).toThrow(LayerwiseError);
  });

  test.each(cases)("%s (from a file)", async (_, bytes, message) => {
    const path = join(folder, "hostile.safetensors");
    await writeFile(path, bytes);
    const error = await readSafetensors(path).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LayerwiseError);
    expect(String(error)).toMatch(message);
    expect(String(error)).toContain(path);
  });

  test("a million tensors are read, not choked on", () => {
    const names = Array.from({ length: 1e6 }, (_, i) => `"${i}":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}`);
    expect(parseSafetensors(file(`{${names.join(",")}}`)).tensors.size).toBe(1e6);
  }, 0);

  test("random damage gives a typed error or a file, never another exception", () => {
    const { head, parts } = encodeSafetensors(samples);
    const whole = Buffer.concat([head, ...parts]);
    const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(damage, fc.nat(whole.length), (edits, length) => {
        const bytes = Uint8Array.from(whole);
        for (const [at, value] of edits) bytes[at] = value;
        for (const candidate of [bytes, bytes.slice(0, length)]) {
          try {
            parseSafetensors(candidate);
          } catch (error) {
            expect(error).toBeInstanceOf(LayerwiseError);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("a pipe and a folder are refused without waiting on them", async () => {
    const pipe = join(folder, "pipe.safetensors");
    execFileSync("mkfifo", [pipe]);
    await expect(readSafetensors(pipe)).rejects.toThrow(/expected a regular file/);
    await expect(readSafetensors(folder)).rejects.toThrow(/a folder/);
    await expect(readSafetensors(join(folder, "missing"))).rejects.toThrow(/ENOENT/);
  });
});

describe("shards", () => {
  const index = async (name: string, weightMap: unknown): Promise<string> => {
    const path = join(folder, "shards", name);
    await writeFile(path, JSON.stringify({ metadata: { total_size: 4 }, weight_map: weightMap }));
    return path;
  };
  beforeAll(async () => {
    await mkdir(join(folder, "shards"));
    await writeSafetensors(join(folder, "outside.safetensors"), new Map([["a", NDArray.from([1], "float32")]]));
    const shard = join(folder, "shards", "one.safetensors");
    await writeSafetensors(shard, new Map([["a", NDArray.from([1], "float32")]]));
    await writeSafetensors(join(folder, "shards", "two.safetensors"), new Map([["b", NDArray.from([2], "float32")]]));
    await symlink(join(folder, "outside.safetensors"), join(folder, "shards", "soft.safetensors"));
    await link(join(folder, "outside.safetensors"), join(folder, "shards", "hard.safetensors"));
    execFileSync("mkfifo", [join(folder, "shards", "pipe.safetensors")]);
  });

  test("are read as one file", async () => {
    const path = await index("model.safetensors.index.json", { a: "one.safetensors", b: "two.safetensors" });
    const { tensors } = await readSafetensors(path);
    expect([...tensors].map(([name, value]) => [name, value.item()])).toEqual([
      ["a", 1],
      ["b", 2],
    ]);
  });

  test.each<[string, unknown, RegExp]>([
    ["a parent folder", { a: "../outside.safetensors" }, /plain \*\.safetensors name/],
    ["a detour", { a: "x/../../outside.safetensors" }, /plain/],
    ["an absolute path", { a: "/etc/passwd" }, /plain/],
    ["a backslash", { a: "..\\outside.safetensors" }, /plain/],
    ["NUL", { a: "one.safetensors\0.safetensors" }, /plain/],
    ["itself", { a: "evil.index.json" }, /plain/],
    ["a number", { a: 3 }, /plain/],
    ["a symbolic link", { a: "soft.safetensors" }, /symbolic link/],
    ["a hard link", { a: "hard.safetensors" }, /hard link/],
    ["a pipe", { a: "pipe.safetensors" }, /expected a regular file/],
    ["a missing shard", { a: "none.safetensors" }, /ENOENT/],
    ["a shard without the tensor", { z: "one.safetensors" }, /not in one\.safetensors/],
    ["nothing", {}, /names no tensor/],
    ["a list", ["one.safetensors"], /"weight_map"/],
  ])("naming %s are refused", async (_, weightMap, message) => {
    const path = await index("evil.index.json", weightMap);
    const error = await readSafetensors(path).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LayerwiseError);
    expect(String(error)).toMatch(message);
  });

  test("with an index that is not JSON are refused", async () => {
    const path = join(folder, "shards", "bad.index.json");
    await writeFile(path, "{");
    await expect(readSafetensors(path)).rejects.toThrow(/expected JSON/);
  });
});

test("the header is written exactly as the format asks: metadata first, padded with spaces to 8 bytes", async () => {
  const header = '{"__metadata__":{"format":"pt"},"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   ';
  const path = join(folder, "reference.safetensors");
  await writeSafetensors(path, new Map([["t", NDArray.from([1, 2], "float32")]]));
  const bytes = await readFile(path);
  expect(bytes.subarray(8, bytes.length - 8).toString()).toBe(header);
});
