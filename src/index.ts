/** layerwise for Node: everything that works everywhere, and what needs a file system. */
export * from "./browser.js";
export { text } from "./data/text-files.js";
