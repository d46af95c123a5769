/** Work that Ctrl-C ends. */
import { fail } from "../tensor/errors.js";

/** Does the work with a signal that Ctrl-C sets off; where that ended it, gives what `interrupted` does instead. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>, interrupted: () => T): Promise<T> {
  const abort = new AbortController();
  const interrupt = (): void => abort.abort();
  process.once("SIGINT", interrupt);
  try {
    return await work(abort.signal);
  } catch (error) {
    if (!abort.signal.aborted) throw error;
    return interrupted();
  } finally {
    process.off("SIGINT", interrupt);
  }
}

/** An interrupted command that leaves nothing: the shell's exit code for it, and a sentence. */
export function endInterrupted(sentence: string): never {
  process.exitCode = 130;
  return fail("argument", sentence);
}
