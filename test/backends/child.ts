/** A process of its own for one backend: an engine that ends the process ends only this one. */
import { readFileSync } from "node:fs";
import * as library from "../../src/browser.js";
import { type BackendName, runSuite, type SuiteInput } from "./suite.js";

const [, , backend, file] = process.argv as unknown as [string, string, BackendName, string];
const results = await runSuite(library, backend, JSON.parse(readFileSync(file, "utf8")) as SuiteInput);
process.send?.(results, () => process.exit(0));
