import { layerNormCases } from "./layer-norm-functions.js";
import { recurrentCells } from "./recurrent.js";

export const kinds = [layerNormCases, recurrentCells];
