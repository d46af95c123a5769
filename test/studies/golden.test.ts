import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { papers } from "../../src/catalogue/index.js";
import "../../src/index.js";
import { goldenFiles, runGolden } from "../../src/studies/golden/index.js";

const folder = fileURLToPath(new URL("../golden", import.meta.url));
// Other folders there hold what the tests of operations and models compare with.
const paths = (await goldenFiles(folder)).filter((path) => papers.some(({ id }) => basename(dirname(path)) === id));

describe("reference numbers of papers", () => {
  it.each(paths)("%s: every tensor is used or compared, to 1e-5 of its largest magnitude", async (path) => {
    const { name, verdict, worst, problem } = await runGolden(path, folder);
    expect({ verdict, worst: verdict === "failed" ? worst : undefined, problem }, name).toEqual({
      verdict: "passed",
      worst: undefined,
      problem: undefined,
    });
  });
});
