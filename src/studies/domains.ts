/**
 * Domain shift on drawn shapes: a small residual network that learns from one domain, and the same held-out pictures in
 * others. What the reproductions of IBN-Net and AlphaBN share.
 */
import { shapeArrays } from "../data/images/shapes.js";
import type { ShiftName } from "../data/images/shifts.js";
import { sgd } from "../optim/index.js";
import { schedule } from "../train/schedule.js";
import { type ImageTask, type LabelledImages, taskOf } from "./image-lab.js";
import { type StudyContext, twiceTheSeeds } from "./study.js";
import type { Fact } from "./study-report.js";

const train = 3000;
export const domainSteps = ({ quick, steps = quick ? 80 : 250 }: StudyContext): number => steps;
const heldOut = ({ quick }: StudyContext): number => (quick ? 300 : 1000);

/** Pixels in [0, 1], as drawn. */
export const baseTask =
  (context: StudyContext) =>
  (seed: number): ImageTask => ({
    ...taskOf(shapeArrays(train, { seed }), domainPictures(context, seed), 32, seed),
    classes: 6,
  });

/** The held-out pictures in a domain, the same scenes in all of them. */
export const domainPictures = (context: StudyContext, seed: number, shift?: ShiftName): LabelledImages =>
  shapeArrays(heldOut(context), { seed, first: train, ...(shift && { shift }) });

/** How every network of these studies is trained. */
export const domainTraining = (context: StudyContext) => ({
  seeds: twiceTheSeeds(context),
  task: baseTask(context),
  steps: domainSteps(context),
  learningRate: 0.05,
  optimizer: (parameters: Parameters<typeof sgd>[0], learningRate: Parameters<typeof sgd>[1]["learningRate"]) =>
    sgd(parameters, { learningRate, momentum: 0.9, weightDecay: 1e-4 }),
  schedule: schedule.linear({ steps: domainSteps(context) }),
});

export const domainSetup = (context: StudyContext): Fact[] => [
  {
    label: "Pictures",
    value: `six drawn shapes of 20 × 20 pixels: ${train} of the base domain to learn from, ${heldOut(context)} held out and drawn again in every domain`,
  },
  { label: "Model", value: "a residual network of 8 layers: 16, 32 and 64 channels" },
  { label: "Training", value: `${domainSteps(context)} steps of 32, SGD at 0.05 with momentum 0.9, linear decay` },
  { label: "Seeds", value: String(twiceTheSeeds(context).length) },
];
