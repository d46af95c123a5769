import { fail } from "../tensor/errors.js";

/** Step (from 0) -> factor on the base learning rate. */
export type Schedule = (step: number) => number;

export interface WarmupOptions {
  /** Steps over which the factor climbs from 0 to 1 in a line; the first step's factor is 0, as in transformers. */
  readonly warmup?: number;
}

export interface DecayOptions extends WarmupOptions {
  /** Steps of the whole run, warm-up included. */
  readonly steps: number;
  /** Factor reached at the end, a share of the base rate. Default 0. */
  readonly minimum?: number;
}

export interface WsdOptions extends DecayOptions {
  /** Steps of the final decay. Default: a tenth of the run. */
  readonly decay?: number;
  /** Form of the decay: `linear` 1 - p, `cosine` (1 + cos(pi p)) / 2, `sqrt` 1 - sqrt(p). */
  readonly shape?: "linear" | "cosine" | "sqrt";
}

/**
 * Learning-rate schedules, equal to those of Hugging Face's transformers (`get_scheduler`) and so to the usual
 * `LambdaLR` of PyTorch. With s the step, w the warm-up, T the steps and p = (s - w) / (T - w):
 *
 *   every one:  s / w                                while s < w
 *   constant:   1
 *   linear:     m + (1 - m) (1 - p)
 *   cosine:     m + (1 - m) (1 + cos(pi p)) / 2
 *   wsd:        1, then over the last `decay` steps from 1 to m
 *
 * Past T the factor stays at m.
 *
 * @throws LayerwiseError "argument" for lengths that are not whole, negative, or do not fit into the run.
 *
 * Sources: SGDR (Loshchilov, Hutter 2017) for cosine; MiniCPM (Hu et al. 2024) for warm-up, stable, decay.
 */
export const schedule = {
  constant({ warmup = 0 }: WarmupOptions = {}): Schedule {
    whole("constant", "warmup", warmup, 0);
    return withWarmup(warmup, () => 1);
  },

  linear(options: DecayOptions): Schedule {
    return decaying("linear", options, shapes.linear);
  },

  cosine(options: DecayOptions): Schedule {
    return decaying("cosine", options, shapes.cosine);
  },

  wsd({ decay, shape = "linear", ...options }: WsdOptions): Schedule {
    const { steps, warmup = 0, minimum = 0 } = checked("wsd", options);
    const last = decay ?? Math.ceil(steps / 10);
    whole("wsd", "decay", last, 1);
    if (warmup + last > steps)
      fail("argument", `schedule.wsd: warm-up ${warmup} and decay ${last} do not fit into ${steps} steps`);
    const start = steps - last;
    return withWarmup(warmup, (step) =>
      step < start ? 1 : between(minimum, shapes[shape](Math.min(1, (step - start) / last))),
    );
  },
};

const shapes = {
  linear: (p: number) => 1 - p,
  cosine: (p: number) => (1 + Math.cos(Math.PI * p)) / 2,
  sqrt: (p: number) => 1 - Math.sqrt(p),
};

function decaying(name: string, options: DecayOptions, shape: (progress: number) => number): Schedule {
  const { steps, warmup = 0, minimum = 0 } = checked(name, options);
  const span = Math.max(1, steps - warmup);
  return withWarmup(warmup, (step) => between(minimum, shape(Math.min(1, (step - warmup) / span))));
}

const between = (minimum: number, factor: number): number => minimum + (1 - minimum) * Math.max(0, factor);

const withWarmup =
  (warmup: number, after: Schedule): Schedule =>
  (step) =>
    step < warmup ? step / warmup : after(step);

function checked<Options extends DecayOptions>(name: string, options: Options): Options {
  const { steps, warmup = 0, minimum = 0 } = options;
  whole(name, "steps", steps, 1);
  whole(name, "warmup", warmup, 0);
  if (warmup > steps) fail("argument", `schedule.${name}: warm-up ${warmup} is longer than the run of ${steps} steps`);
  if (!(minimum >= 0 && minimum <= 1))
    fail("argument", `schedule.${name}: minimum is ${minimum}; expected a share of the base rate from 0 to 1`);
  return options;
}

function whole(name: string, option: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least)
    fail("argument", `schedule.${name}: ${option} is ${value}; expected a whole number of steps, at least ${least}`);
}
