/** What works everywhere: in Node and in the browser. */
export * from "./tensor/index.js";
export * from "./runtime/index.js";
