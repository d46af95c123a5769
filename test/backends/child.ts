/** A process of its own for one backend: an engine that ends the process ends only this one. */
import { readFileSync } from "node:fs";
import * as library from "../../src/browser.js";
import { type BackendName, runSuite, type SuiteInput } from "./suite.js";

const [, , backend, file] = process.argv as unknown as [string, string, BackendName, string];
const results = await runSuite(library, backend, JSON.parse(readFileSync(file, "utf8")) as SuiteInput);
// No exit here: that an engine's threads do not keep the process is part of what is tested.
process.send?.(results, () => process.disconnect());
