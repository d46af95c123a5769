import type { Command } from "commander";
import { type GoldenResult, goldenFiles, runGolden, type Verdict } from "../studies/golden/index.js";

/** `layerwise golden DIR`: this machine's numbers against reference files; exits with 1 when one differs. */
export function registerGolden(program: Command): void {
  program
    .command("golden")
    .description("compare with reference numbers: <folder>/<paper>/<case>.safetensors")
    .argument("<folder>", "folder of reference files")
    .option("--json", "print results as JSON, one a line")
    .action(async (folder: string, { json }: { json?: boolean }) => {
      const counts: Record<Verdict, number> = { passed: 0, failed: 0, "not built": 0 };
      for (const path of await goldenFiles(folder)) {
        const result = await runGolden(path, folder);
        counts[result.verdict]++;
        process.stdout.write(`${json ? JSON.stringify(result) : line(result)}\n`);
      }
      process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts["not built"]} not built\n`);
      if (counts.failed > 0) process.exitCode = 1;
    });
}

/** `peri-ln/lm_rmsnorm   passed   3.1e-7   62 checks, worst: grad.model.norm.weight`. */
function line({ name, verdict, worst, checks, problem }: GoldenResult): string {
  const error = worst ? worst.error.toExponential(1) : "";
  const loose = worst?.because ? ` (allowed ${worst.tolerance}: ${worst.because})` : "";
  const detail = problem ?? (worst && `${checks} checks, worst: ${worst.name}${loose}`) ?? "";
  return `${name.padEnd(44)} ${verdict.padEnd(10)} ${error.padStart(8)}  ${detail}`.trimEnd();
}
