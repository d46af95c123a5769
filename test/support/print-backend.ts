/** Says which backend a process gets from its environment. */
import { defaultBackend } from "../../src/runtime/index.js";

try {
  const { name, description } = await defaultBackend();
  process.send?.({ name, threads: description.threads }, () => process.exit(0));
} catch (error) {
  process.send?.({ error: (error as Error).message }, () => process.exit(0));
}
