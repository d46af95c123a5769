/** The studies of single papers, in the order of a report. A new one is a line here. */
import { layerNorm } from "./layer-norm.js";
import { layerNormScaling } from "./layer-norm-scaling.js";
import { mixLn } from "./mix-ln.js";
import { periLn } from "./peri-ln.js";
import { preRmsNorm } from "./pre-rms-norm.js";
import type { PaperStudy } from "./study.js";

export const paperStudies: readonly PaperStudy[] = [periLn, mixLn, layerNormScaling, preRmsNorm, layerNorm];
