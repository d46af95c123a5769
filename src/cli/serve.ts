/** `layerwise serve <folder>`: a model behind the endpoints that chat clients know. */
import { hostname, networkInterfaces } from "node:os";
import { basename, resolve } from "node:path";
import { serve as listen } from "@hono/node-server";
import type { Command } from "commander";
import { completionServer, loopback } from "../applications/server.js";
import { TextGenerator } from "../applications/text-generation.js";
import type { GeneratorType } from "../models/index.js";
import type { BackendName } from "../runtime/index.js";
import { fail } from "../tensor/errors.js";
import { engineOptions, weightOption } from "./generate.js";
import { wholeNumber } from "./numbers.js";

interface Options {
  readonly host: string;
  readonly port: number;
  readonly name?: string;
  readonly token?: string;
  readonly origin?: string[];
  readonly allowHost?: string[];
  readonly queue: number;
  readonly dtype?: GeneratorType;
  readonly backend?: BackendName;
  readonly threads?: number;
}

const examples = `
Examples:
  $ layerwise serve models/qwen3-0.6b
  $ curl http://127.0.0.1:8080/v1/chat/completions -H "Content-Type: application/json" \\
      -d '{"messages": [{"role": "user", "content": "Hello"}], "stream": true}'
  $ LAYERWISE_TOKEN=secret layerwise serve models/qwen3-0.6b --host 0.0.0.0

It listens on this machine alone. Bound elsewhere it needs a token, which clients send as "Authorization: Bearer …".`;

export function registerServe(program: Command): void {
  program
    .command("serve")
    .description("answer chat and text completions over HTTP, as OpenAI's API does")
    .argument("<folder>", "folder of a checkpoint or an adapter")
    .option("--host <address>", "where it listens", "127.0.0.1")
    .option("--port <n>", "0: any free one", wholeNumber, 8080)
    .option("--name <model>", "what clients call the model (default: the folder's name)")
    .option("--token <secret>", "what clients must send (default: LAYERWISE_TOKEN)")
    .option("--origin <url...>", "pages that may ask, beside this server's own")
    .option("--allow-host <name...>", "names it is called by, beside this machine's own")
    .option("--queue <n>", "requests that may wait", wholeNumber, 8)
    .addOption(weightOption())
    .option("--backend <name>", "cpu, webgpu or wasm")
    .option("--threads <n>", "threads of the engine", wholeNumber)
    .addHelpText("after", examples)
    .action(serve);
}

async function serve(folder: string, options: Options): Promise<void> {
  const { host, port, origin = [], allowHost = [], queue, token = process.env.LAYERWISE_TOKEN } = options;
  const isLocal = ["localhost", "127.0.0.1", "::1"].includes(host);
  if (!isLocal && !token)
    fail("argument", `serve: ${host} can be reached by others; give --token or LAYERWISE_TOKEN, or leave --host out`);
  const generator = await TextGenerator.open(folder, engineOptions(options));
  const app = completionServer(generator, {
    model: options.name ?? basename(resolve(folder)),
    hosts: [...loopback, ...(isLocal ? [] : ownNames()), ...allowHost],
    origins: origin,
    queue,
    ...(token && { token }),
  });
  const server = listen({ fetch: app.fetch, hostname: host, port }, ({ port: own }) =>
    process.stdout.write(`${folder} on http://${host.includes(":") ? `[${host}]` : host}:${own}/v1, Ctrl-C ends\n`),
  );
  server.on("error", (error: Error) => {
    process.stderr.write(`layerwise: serve: ${error.message}\n`);
    process.exit(1);
  });
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => {
      server.close();
      process.exit(0);
    });
}

/** What other machines call this one. */
const ownNames = (): string[] => [
  hostname(),
  ...Object.values(networkInterfaces()).flatMap((list = []) =>
    list.map(({ address, family }) => (family === "IPv6" ? `[${address}]` : address)),
  ),
];
