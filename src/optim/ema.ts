import { currentTrace, full, NDArray, Variable, where } from "../tensor/index.js";
import { bundles, join, parameterNames } from "./bundles.js";
import { checkDecays, type Optimizer } from "./optimizer.js";

export interface EmaOptions {
  /** Share d of the old average that each update keeps (default 0.999). */
  readonly decay?: number;
  /** Keep min(decay, (1 + t) / (10 + t)) at update t = 1, 2, …, so that the first weights are soon forgotten. */
  readonly warmup?: boolean;
}

export interface Ema extends Optimizer {
  /** The averaged weights by the parameters' paths, as they would be loaded into the model. */
  stateDict(): Promise<Map<string, NDArray>>;
  /** Exchange the model's weights with the averages; a second call exchanges them back. Not to be trained between. */
  swap(): Promise<void>;
}

/**
 * An exponential moving average of the parameters beside any optimiser: a ← d a + (1 - d) θ after each of its updates,
 * within the same program; the first a is θ as it was before. Its state goes with the optimiser's, with the prefix
 * `ema.`. Source: "Acceleration of Stochastic Approximation by Averaging", 1992; the exponential form and its warm-up as
 * in TensorFlow's ExponentialMovingAverage.
 *
 *   const optimizer = ema(adamW(model.parameters(), { learningRate: 1e-3 }), { decay: 0.999 });
 */
export function ema(optimizer: Optimizer, { decay = 0.999, warmup = false }: EmaOptions = {}): Ema {
  checkDecays("ema", { decay });
  const { parameters } = optimizer;
  const labels = parameterNames(parameters);
  const step = new Variable(NDArray.zeros([]), { name: "ema.step", trainable: false });
  const units = bundles(parameters, labels).map((bundle) => ({
    ...bundle,
    average: new Variable(NDArray.zeros(bundle.shape, bundle.dtype), { name: `ema.${bundle.name}`, trainable: false }),
  }));
  const state = new Map([
    ...optimizer.state(),
    ["ema.step", step] as const,
    ...units.map(({ name, average }) => [`ema.${name}.average`, average] as const),
  ]);

  /** Averages as flat arrays, before the first update the weights themselves. */
  const averages = async (): Promise<(readonly [Variable, NDArray])[]> => {
    const started = (await step.data()).item() > 0;
    const pieces = units.map(async ({ parameters: own, average }) => {
      if (!started) return Promise.all(own.map(async (variable) => [variable, await variable.data()] as const));
      return cut(await average.data(), own);
    });
    return (await Promise.all(pieces)).flat();
  };

  return {
    parameters,
    state: () => state,
    update(gradients) {
      optimizer.update(gradients);
      const assigned = currentTrace()?.assignments;
      const count = step.add(1);
      step.assign(count);
      // 1 - d, taken so that no digit is lost: 1 - (1 + t) / (10 + t) = 9 / (10 + t).
      const share = warmup
        ? full([], 9)
            .div(count.add(10))
            .maximum(1 - decay)
        : full([], 1 - decay);
      for (const { parameters: own, average, dtype } of units) {
        const before = where(count.equal(1), join(own), average);
        const after = join(own.map((variable) => assigned?.get(variable) ?? variable));
        average.assign(before.add(after.sub(before).mul(share.cast(dtype))));
      }
    },
    async stateDict() {
      const names = new Map(parameters.map((variable, i) => [variable, labels[i] as string]));
      return new Map((await averages()).map(([variable, value]) => [names.get(variable) as string, value]));
    },
    async swap() {
      if ((await step.data()).item() === 0) return;
      const weights = await Promise.all(units.map(({ parameters: own }) => Promise.all(own.map((p) => p.data()))));
      for (const [variable, value] of await averages()) variable.set(value);
      for (const [i, { average }] of units.entries()) average.set(laid(weights[i] as NDArray[], average));
    },
  };
}

/** The parts of a flat array, each in the shape of its variable. */
function cut({ data, dtype }: NDArray, parts: readonly Variable[]): (readonly [Variable, NDArray])[] {
  let start = 0;
  return parts.map((variable) => {
    const piece = data.slice(start, start + variable.size);
    start += variable.size;
    return [variable, new NDArray(piece, variable.shape, dtype)];
  });
}

function laid(parts: readonly NDArray[], { shape, dtype }: Variable): NDArray {
  const whole = NDArray.zeros(shape, dtype);
  let start = 0;
  for (const { data, size } of parts) {
    (whole.data as Float32Array).set(data as Float32Array, start);
    start += size;
  }
  return whole;
}
