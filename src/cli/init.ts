/** `layerwise init`: a configuration to start from, every key in it explained. */
import { open } from "node:fs/promises";
import { type Command, Option } from "commander";
import { failFile, writeAtomically, writeFully } from "../data/disk.js";
import { fail } from "../tensor/errors.js";
import { configTemplate, type TemplateName, templates } from "../train/config-template.js";

interface Options {
  readonly template: TemplateName;
  readonly force?: true;
}

const help = `
Templates:
  lm         a language model on the bytes of a text, trained from nothing
  chars      a small model of characters, minutes on two cores
  finetune   LoRA on a checkpoint, from chats

Examples:
  $ layerwise init                                 writes config.yaml
  $ layerwise init small.yaml --template chars
  $ layerwise train config.yaml --set data.path=book.txt`;

export function registerInit(program: Command): void {
  program
    .command("init")
    .description("write a configuration for `layerwise train` with every key explained")
    .argument("[file]", "where it goes", "config.yaml")
    .addOption(new Option("--template <name>", "what to start from").choices(Object.keys(templates)).default("lm"))
    .option("--force", "write over a file that is there")
    .addHelpText("after", help)
    .action(init);
}

async function init(path: string, { template, force }: Options): Promise<void> {
  const bytes = new TextEncoder().encode(configTemplate(templates[template]));
  await (force ? writeAtomically(path, (handle) => writeFully(handle, bytes)) : writeNew(path, bytes));
  process.stdout.write(`wrote ${path}; set the paths in it, then: layerwise train ${path}\n`);
}

async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, "wx").catch((error: NodeJS.ErrnoException) =>
    error.code === "EEXIST"
      ? fail("file", `init: ${path} exists; name another file, or write over it with --force`)
      : failFile(path, "the configuration could not be written", error),
  );
  try {
    await writeFully(handle, bytes);
  } finally {
    await handle.close();
  }
}
