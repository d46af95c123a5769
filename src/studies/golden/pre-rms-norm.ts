import { gpt2 } from "./gpt2.js";
import { normFunctions } from "./norm-functions.js";
import { patchClassifier } from "./patch-classifier.js";

export const kinds = [normFunctions, gpt2, patchClassifier];
