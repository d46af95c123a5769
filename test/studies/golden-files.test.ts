import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Command } from "commander";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { registerGolden } from "../../src/cli/golden.js";
import { readSafetensors, writeSafetensors } from "../../src/data/safetensors-file.js";
import { crossEntropy, NDArray, nn, type Tensor } from "../../src/index.js";
import { layerStatistics } from "../../src/inspect/index.js";
import { goldenFiles, runGolden } from "../../src/studies/golden/index.js";
import { nextTokens } from "../../src/studies/golden/language-model.js";
import { namedGradients, runOnce } from "../../src/studies/golden/run-once.js";
import { goldenPath } from "../support/golden.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "golden-"));
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => {
  process.exitCode = 0;
  vi.restoreAllMocks();
});

async function write(name: string, tensors: Map<string, NDArray>, metadata: Record<string, string>): Promise<string> {
  const path = join(folder, `${name}.safetensors`);
  await mkdir(dirname(path), { recursive: true });
  await writeSafetensors(path, tensors, metadata);
  return path;
}

/** A file of the kind the placements' papers have, for a model that is in none of them. */
async function unseen(): Promise<{ tensors: Map<string, NDArray>; metadata: Record<string, string> }> {
  const ids = NDArray.from(
    [
      [1, 2, 3, 4, 5],
      [5, 4, 3, 2, 1],
    ],
    "int64",
  );
  const model = nn.gpt({
    layers: 3,
    width: 8,
    heads: 4,
    kvHeads: 2,
    vocabulary: 7,
    context: 5,
    norm: (w) => nn.layerNorm(w, { eps: 0.01 }),
    placement: "post",
    mlp: nn.geluMLP({ hidden: 6 }),
    positions: "none",
    bias: true,
    tieEmbeddings: true,
    initialization: { std: 0.4 },
  });
  const batch = nextTokens(ids);
  const results = await runOnce({ ...batch }, ({ tokens, targets }) => {
    const logits = model.apply(tokens as Tensor);
    const loss = crossEntropy(logits, targets as Tensor);
    return { logits, loss, ...namedGradients(loss, model) };
  });
  const { gradientNorm } = await layerStatistics(model, batch);
  const computed = [...Object.entries(results), ["layer_grad_norm", NDArray.from(gradientNorm)] as const];
  return {
    tensors: new Map([["input_ids", ids], ...(await model.stateDict()), ...computed]),
    metadata: {
      L: "3",
      d: "8",
      H: "4",
      Hkv: "2",
      V: "7",
      F: "6",
      norm: "ln",
      eps: "0.01",
      placement: "post",
      act: "gelu",
      rope: "False",
      bias: "True",
      causal: "True",
    },
  };
}

describe("a reference file", () => {
  it("of a known kind runs by its tensors and metadata, whatever its name and sizes", async () => {
    const { tensors, metadata } = await unseen();
    const path = await write("mix-ln/any_name", tensors, metadata);
    expect(await runGolden(path, folder)).toMatchObject({ name: "mix-ln/any_name", verdict: "passed" });
  });

  it("fails when one number differs, naming the tensor", async () => {
    const { tensors, metadata } = await unseen();
    const logits = tensors.get("logits") as NDArray;
    tensors.set(
      "logits",
      NDArray.from(
        logits.toNumbers().map((v, i) => (i === 3 ? v + 1e-3 : v)),
        "float32",
        logits.shape,
      ),
    );
    const path = await write("mix-ln/wrong", tensors, metadata);
    expect(await runGolden(path, folder)).toMatchObject({ verdict: "failed", worst: { name: "logits" } });
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("fails when a number is %d", async (bad) => {
    const { tensors, metadata } = await unseen();
    tensors.set("loss", NDArray.from([bad]));
    const path = await write("mix-ln/not-finite", tensors, metadata);
    expect((await runGolden(path, folder)).verdict).toBe("failed");
  });

  it("fails when a tensor in it is neither used nor compared", async () => {
    const { tensors, metadata } = await unseen();
    tensors.set("something.else", NDArray.zeros([1]));
    const path = await write("mix-ln/more", tensors, metadata);
    expect(await runGolden(path, folder)).toMatchObject({ verdict: "failed", problem: "not checked: something.else" });
  });

  it("fails with a sentence when a weight is missing", async () => {
    const { tensors, metadata } = await unseen();
    tensors.delete("model.layers.1.mlp.up_proj.weight");
    const path = await write("mix-ln/less", tensors, metadata);
    expect(await runGolden(path, folder)).toMatchObject({
      verdict: "failed",
      problem: expect.stringContaining("missing model.layers.1.mlp.up_proj.weight"),
    });
  });

  it("of a recurrent cell is read by the gate order it states", async () => {
    const { tensors, metadata } = await readSafetensors(goldenPath("layer-norm/ln_lstm.safetensors"));
    const H = Number(metadata.H);
    const swapped = [...tensors].map(([name, value]): [string, NDArray] => {
      const columns = value.shape.at(-1) as number;
      if (columns !== 4 * H) return [name, value];
      // o and g change places: columns 2H.. and 3H.. of every row.
      const from = (i: number) => i + (i % columns < 2 * H ? 0 : i % columns < 3 * H ? H : -H);
      return [
        name,
        NDArray.from(
          value.toNumbers().map((_, i) => value.at(from(i))),
          "float32",
          value.shape,
        ),
      ];
    });
    const run = async (name: string, gate_order: string) =>
      runGolden(await write(`layer-norm/${name}`, new Map(swapped), { ...metadata, gate_order }), folder);
    expect(await run("stated", "i,f,g,o")).toMatchObject({ verdict: "passed" });
    expect(await run("other", "i,f,o,g")).toMatchObject({ verdict: "failed" });
    expect(await run("unknown", "i,f,o")).toMatchObject({
      verdict: "failed",
      problem: expect.stringContaining('expected the gates i, f, g, o in gate_order, got "i,f,o"'),
    });
  });

  it("of an unknown kind or paper is not built", async () => {
    const tensors = new Map([["x", NDArray.zeros([2])]]);
    expect((await runGolden(await write("mix-ln/unknown", tensors, {}), folder)).verdict).toBe("not built");
    expect((await runGolden(await write("no-such-paper/case", tensors, {}), folder)).verdict).toBe("not built");
  });
});

describe("layerwise golden", () => {
  const run = async (directory: string): Promise<string[]> => {
    let text = "";
    vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
      text += String(chunk);
      return true;
    });
    const program = new Command();
    registerGolden(program);
    await program.parseAsync(["golden", directory], { from: "user" });
    return text.trimEnd().split("\n");
  };

  it("prints a line a case and the counts, and exits with 1 on a failure", async () => {
    const lines = await run(folder);
    expect(lines.length).toBe((await goldenFiles(folder)).length + 1);
    expect(lines.at(-1)).toMatch(/^2 passed, \d+ failed, 2 not built$/);
    expect(lines.find((line) => line.startsWith("mix-ln/wrong"))).toMatch(/failed .* worst: logits$/);
    expect(process.exitCode).toBe(1);
  });

  it("exits with 0 when nothing failed", async () => {
    const good = join(folder, "no-such-paper");
    expect(await run(good)).toEqual(
      ["case not built", "0 passed, 0 failed, 1 not built"].map((line) =>
        expect.stringMatching(line.replace(" ", " +")),
      ),
    );
    expect(process.exitCode).toBe(0);
  });

  it("says so when the folder holds nothing", async () => {
    await expect(run(join(folder, "nowhere"))).rejects.toThrow(
      "cannot be read; expected a folder of <paper>/<case>.safetensors",
    );
  });
});
