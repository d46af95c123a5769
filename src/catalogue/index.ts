export { type PaperId, paper, papers } from "./catalogue.js";
export { type Claim, claimProblem, type Measurement, significance, type Verdict } from "./claim.js";
export { nearest } from "./nearest.js";
export { type Kind, kinds, type Paper, type State } from "./paper.js";
