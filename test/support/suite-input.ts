/** What the suite of backends compares with: reference cases, and what the CPU gives. */

import * as library from "../../src/index.js";
import { largeShapes, type SuiteInput, trainTinyModel } from "../backends/suite.js";
import { families, readCases } from "./golden.js";
import { plainOf } from "./plain-case.js";

export async function suiteInput(): Promise<SuiteInput> {
  const cases = await Promise.all(
    families.map(async (family) => [family, (await readCases(family)).map(plainOf)] as const),
  );
  return {
    families: Object.fromEntries(cases),
    losses: await trainTinyModel(library, "cpu"),
    large: await largeShapes(library, "cpu"),
  };
}
