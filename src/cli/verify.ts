/** `layerwise verify <path>`: exported files against the probes they carry. */
import { relative } from "node:path";
import { type Command, Option } from "commander";
import { type FileVerification, verifyExport } from "../applications/export-files.js";
import type { BackendName } from "../runtime/backend.js";

const help = `
Examples:
  $ layerwise verify web/model
  $ layerwise verify web/model/onnx/model_q4.onnx --backend wasm

An exported file carries a probe: inputs, what they must give, and a checksum of every weight. This runs it on the engine
of this machine and says which weight was changed, or which operation gives other numbers. Exit status 1 where something
is wrong.`;

export function registerVerify(program: Command): void {
  program
    .command("verify")
    .description("hold exported ONNX files against the probes they carry")
    .argument("<path>", "an exported folder, or one .onnx file")
    .addOption(new Option("--backend <name>", "engine to try").choices(["cpu", "webgpu", "wasm"]))
    .option("--json", "print JSON")
    .addHelpText("after", help)
    .action(run);
}

interface Options {
  readonly backend?: BackendName;
  readonly json?: boolean;
}

async function run(path: string, { backend, json = false }: Options): Promise<void> {
  const verified = await verifyExport(path, backend ? { backend } : {});
  process.stdout.write(json ? `${JSON.stringify(verified, null, 2)}\n` : verificationText(verified));
  if (verified.some(({ isRight }) => !isRight)) process.exitCode = 1;
}

export const verificationText = (verified: readonly FileVerification[]): string =>
  verified
    .map(({ path, isRight, error, tolerance, problem }) =>
      isRight
        ? `${relative(process.cwd(), path)}  right: off by ${error.toExponential(1)} of an output's size (${tolerance} allowed)\n`
        : `${problem}\n`,
    )
    .join("");
