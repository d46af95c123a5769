/** What is minimised, and scores beside it. */
export * from "./balanced-cross-entropy.js";
