/** What a configuration says of the optimiser and the learning rate. */
import { adam, adamW, lion, muon, sgd } from "../optim/index.js";
import { fail } from "../tensor/errors.js";
import type { FitOptions } from "./fit.js";
import type { PlannedConfig } from "./plan-steps.js";
import { type Schedule, schedule } from "./schedule.js";

type Make = FitOptions["optimizer"];

/** The optimiser a configuration names. @throws LayerwiseError "config" for an unknown name. */
export function optimizerOf(config: PlannedConfig, ...[parameters, learningRate]: Parameters<Make>): ReturnType<Make> {
  const { optimizer, weightDecay, adamBeta1, adamBeta2, adamEpsilon: eps } = config;
  const betas = [adamBeta1, adamBeta2] as const;
  // Gains and biases are not decayed, as is usual.
  const groups = [
    { match: "**.bias", options: { weightDecay: 0 } },
    { match: "**norm.weight", options: { weightDecay: 0 } },
  ];
  const makers: Readonly<Record<string, () => ReturnType<Make>>> = {
    adamw: () => adamW(parameters, { learningRate, betas, eps, weightDecay, groups }),
    adam: () => adam(parameters, { learningRate, betas, eps }),
    sgd: () => sgd(parameters, { learningRate, momentum: 0.9, weightDecay, groups }),
    lion: () => lion(parameters, { learningRate, weightDecay, groups }),
    // At AdamW's scale, so that one learning rate and one decay fit both halves.
    muon: () =>
      muon(parameters, {
        learningRate,
        weightDecay,
        scale: "match-rms-adamw",
        adamW: { betas, eps, weightDecay, groups },
      }),
  };
  return (
    makers[optimizer]?.() ??
    fail("config", `optimizer is "${optimizer}"; expected one of ${Object.keys(makers).join(", ")}`)
  );
}

/** Updates over which the learning rate climbs. */
export const warmupOf = ({ warmupSteps, warmupRatio = 0, maxSteps }: PlannedConfig): number =>
  warmupSteps ?? Math.round(warmupRatio * maxSteps);

export function scheduleOf(config: PlannedConfig): Schedule {
  const { lrScheduler, maxSteps: steps, decaySteps: decay, minLrRatio: minimum } = config;
  const warmup = warmupOf(config);
  if (lrScheduler === "constant") return schedule.constant({ warmup });
  if (lrScheduler === "wsd") return schedule.wsd({ steps, warmup, minimum, ...(decay !== undefined && { decay }) });
  return schedule[lrScheduler]({ steps, warmup, minimum });
}
