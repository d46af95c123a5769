/** What is minimised, and scores beside it. */

export * from "./adversarial.js";
export * from "./balanced-cross-entropy.js";
export * from "./hole-l1.js";
