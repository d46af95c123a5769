import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, describe, expect, it, vi } from "vitest";
import { exportFolder } from "../../src/applications/export-files.js";
import { registerInfo } from "../../src/cli/info.js";
import { registerVerify } from "../../src/cli/verify.js";
import { adapt, fromPretrained } from "../../src/index.js";
import { goldenPath } from "../support/golden.js";

const folder = mkdtempSync(join(tmpdir(), "info-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** What a command prints. */
async function run(...args: string[]): Promise<string> {
  const program = new Command();
  registerInfo(program);
  registerVerify(program);
  let output = "";
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    output += String(text);
    return true;
  });
  try {
    await program.parseAsync(args, { from: "user" });
  } finally {
    write.mockRestore();
  }
  return output;
}

describe("layerwise info", () => {
  it("says what a checkpoint is, and what can be done with it", async () => {
    const output = await run("info", goldenPath("checkpoints/llama-chat"));
    expect(output).toMatch(/^architecture +llama, 2 layers/m);
    expect(output).toContain(`layerwise chat ${goldenPath("checkpoints/llama-chat")}`);
  });

  it("says what an adapter is, and the checkpoint it belongs to", async () => {
    const base = goldenPath("checkpoints/llama-chat");
    const model = await fromPretrained(base);
    const adapters = adapt.lora(model, { rank: 4, alpha: 8, targets: ["q_proj"] });
    await adapt.saveAdapter(adapters, join(folder, "adapter"), "default", { base });
    const output = await run("info", join(folder, "adapter"));
    expect(output).toMatch(/^adapter +LORA, rank 4, alpha 8, on q_proj$/m);
    expect(output).toMatch(/^base +.*llama-chat$/m);
    expect(output).toMatch(/^architecture +llama, 2 layers/m);
    expect(JSON.parse(await run("info", join(folder, "adapter"), "--json"))).toMatchObject({
      adapter: { type: "LORA", rank: 4 },
      base: { architecture: "llama" },
    });
  });
});

describe("layerwise verify", () => {
  it("prints a line for every exported file, and fails for one that is wrong", async () => {
    const exported = join(folder, "exported");
    await exportFolder(goldenPath("checkpoints/llama"), exported, { dtypes: ["fp32", "q8"], maxInlineBytes: 0 });
    expect((await run("verify", exported)).match(/right: off by/g)).toHaveLength(2);
    expect(process.exitCode).toBeUndefined();
    const data = join(exported, "onnx/model.onnx_data");
    writeFileSync(data, readFileSync(data).reverse());
    expect(await run("verify", join(exported, "onnx/model.onnx"))).toContain("changed after the export");
    expect(process.exitCode).toBe(1);
    process.exitCode = undefined;
  });
});
