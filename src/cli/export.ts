/** `layerwise export <folder> <output>`: a checkpoint as ONNX that transformers.js loads. */
import { relative } from "node:path";
import { type Command, Option } from "commander";
import { exportFolder, verifyExport } from "../applications/export-files.js";
import { type ExportType, exportTypes } from "../applications/export-program.js";
import { verificationText } from "./verify.js";

const help = `
Examples:
  $ layerwise export models/pythia-70m web/model
  $ layerwise export runs/<run>/model web/model --dtype fp32 q8 q4

In a page or in Node, with @huggingface/transformers:
  const generate = await pipeline("text-generation", "model", { dtype: "q4" });

Every file carries a probe, which is run when it is written, and by layerwise verify anywhere else.

fp32, fp16 (weights of 16 bits, arithmetic of 32), q8 and q4 (blocks of 32 weights with a scale each).`;

export function registerExport(program: Command): void {
  program
    .command("export")
    .description("write a model as ONNX, in the layout that transformers.js loads")
    .argument("<folder>", "checkpoint folder, or an adapter's")
    .argument("<output>", "folder to write")
    .addOption(
      new Option("--dtype <types...>", "how weights are kept").choices(Object.keys(exportTypes)).default(["fp32"]),
    )
    .addHelpText("after", help)
    .action(run);
}

async function run(folder: string, output: string, { dtype }: { readonly dtype: ExportType[] }): Promise<void> {
  await exportFolder(folder, output, {
    dtypes: dtype,
    onFile: (path, bytes) => process.stdout.write(`${relative(process.cwd(), path)}  ${(bytes / 1e6).toFixed(1)} MB\n`),
  });
  const verified = await verifyExport(output);
  process.stdout.write(verificationText(verified));
  if (verified.some(({ isRight }) => !isRight)) process.exitCode = 1;
}
