export { nearest } from "../tensor/nearest.js";
export { type PaperId, paper, papers } from "./catalogue.js";
export { type Claim, claimProblem, type Measurement, significance, type Verdict } from "./claim.js";
export { type Kind, kinds, type Paper, type State } from "./paper.js";
