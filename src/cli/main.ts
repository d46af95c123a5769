#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { LayerwiseError } from "../tensor/errors.js";
import { registerEvaluate } from "./evaluate.js";
import { registerExport } from "./export.js";
import { registerGenerate } from "./generate.js";
import { registerGolden } from "./golden.js";
import { registerInfo } from "./info.js";
import { registerInit } from "./init.js";
import { registerInspect } from "./inspect.js";
import { registerPapers } from "./papers.js";
import { registerRuns } from "./runs.js";
import { registerServe } from "./serve.js";
import { registerStudies } from "./study.js";
import { registerTokenizer } from "./tokenizer.js";
import { registerTrain } from "./train.js";
import { registerVerify } from "./verify.js";

const { version, description } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
  description: string;
};

const examples = `
Start here:
  $ layerwise study placement --quick     see it work, under a minute
  $ layerwise study placement             where should the norm sit? about four minutes, and a report
  $ layerwise train config.yaml           a language model of your own; \`layerwise init\` writes a configuration
  $ layerwise runs                        how the runs went
  $ layerwise papers --done               what is implemented
  $ layerwise reproduce peri-ln           measure what one paper claims`;

const program = new Command("layerwise").description(description).version(version).addHelpText("after", examples);
registerPapers(program);
registerGolden(program);
registerStudies(program);
registerInit(program);
registerTrain(program);
registerRuns(program);
registerTokenizer(program);
registerInfo(program);
registerInspect(program);
registerEvaluate(program);
registerExport(program);
registerVerify(program);
registerGenerate(program);
registerServe(program);

// `layerwise papers | head` closes the pipe early: that is an end, not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

try {
  await program.parseAsync();
} catch (error) {
  // An error made on purpose is a sentence for the user; anything else is a bug and keeps its stack.
  if (!(error instanceof LayerwiseError)) throw error;
  process.stderr.write(`layerwise: ${error.message}\n`);
  process.exitCode = 1;
}
