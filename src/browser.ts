/** What works everywhere: in Node and in the browser. */

export * from "./runtime/index.js";
export * from "./tensor/index.js";
