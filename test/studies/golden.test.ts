import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import "../../src/index.js";
import { goldenFiles, goldenPapers, runGolden } from "../../src/studies/golden/index.js";

const folder = fileURLToPath(new URL("../golden", import.meta.url));
const paths = (await goldenFiles(folder)).filter((path) => goldenPapers.some((paper) => path.includes(`/${paper}/`)));

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
