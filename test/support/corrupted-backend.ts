import type { Backend, Session } from "../../src/runtime/backend.js";
import { type DeviceArray, NDArray } from "../../src/tensor/index.js";

type Run = Session["run"];

/** A backend whose sessions run in another way. */
export const withRuns = (backend: Backend, change: (run: Run) => Run): Backend => ({
  ...backend,
  async createSession(model, options) {
    const session = await backend.createSession(model, options);
    return { ...session, run: change((...args) => session.run(...args)) };
  },
});

/** One output is changed on its way back, from the given time on that it is asked for. */
export const corrupted = (
  backend: Backend,
  output: string,
  change: (values: Float32Array) => void,
  from = 1,
): Backend =>
  withRuns(backend, (run) => {
    let asked = 0;
    return async (feeds, outputs, spares) => {
      const results = new Map(await run(feeds, outputs, spares));
      if (!outputs.includes(output) || ++asked < from) return results;
      const right = results.get(output) as DeviceArray;
      const { data, shape, dtype } = await right.read();
      change(data as Float32Array);
      return results.set(output, backend.upload(new NDArray(data, shape, dtype)));
    };
  });
