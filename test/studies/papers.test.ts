import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { papers } from "../../src/catalogue/index.js";
import "../../src/index.js";
import { paperStudy, studied } from "../../src/studies/index.js";

const list = (folder: string) => readdirSync(new URL(`../../src/${folder}`, import.meta.url));

describe("the study of a paper", () => {
  it.each(studied)("%s is found by its id, and is about that paper", async (id) => {
    const study = await paperStudy(id);
    expect(study.paper).toBe(id);
    expect(study.title.length).toBeGreaterThan(10);
    expect(study.limits.every((sentence) => sentence.endsWith("."))).toBe(true);
  });

  it("exists for every file, and every file belongs to a paper that names it", () => {
    const files = list("studies/papers").map((name) => name.replace(".ts", ""));
    expect(files.sort()).toEqual([...studied].sort());
  });

  it("that does not exist is an error with the nearest name", async () => {
    await expect(paperStudy("mix-lm")).rejects.toThrow('there is no study of "mix-lm" (did you mean "mix-ln"?)');
    await expect(paperStudy("../cli/main")).rejects.toThrow("there is no study of");
  });
});

describe("what a paper costs", () => {
  const root = new URL("../../src/", import.meta.url);
  const files = readdirSync(root, { recursive: true })
    .map((name) => String(name).split("\\").join("/"))
    .filter((name) => name.endsWith(".ts"));
  const done = papers.filter(({ state }) => state === "done").map(({ id }) => id);
  /** Written by scripts/catalogue-index.js. */
  const drawn = "catalogue/papers/index.ts";

  it.each(done)("%s: four files called after it, one of them its module", (id) => {
    const own = files.filter((name) => name.endsWith(`/${id}.ts`));
    const found = ["catalogue/papers", "studies/papers", "studies/golden"].map((place) => `${place}/${id}.ts`);
    expect(own).toEqual(expect.arrayContaining(found));
    expect(
      own.filter((name) => !found.includes(name)),
      "its module, found by its id",
    ).toHaveLength(1);
  });

  it.each(done)("%s: at most three lines by hand elsewhere to make it known", (id) => {
    const lines = files
      .filter((name) => name.endsWith("index.ts") && name !== drawn)
      .flatMap((name) => readFileSync(new URL(name, root), "utf8").split("\n"))
      .filter((line) => line.includes(`/${id}.js"`));
    // One more may give a norm its name.
    expect(lines.length).toBeLessThanOrEqual(2);
  });

  it("is one drawn line in the catalogue", () => {
    const script = fileURLToPath(new URL("../../scripts/catalogue-index.js", import.meta.url));
    expect(execFileSync(process.execPath, [script, "--check"]).toString()).toContain(`${papers.length} papers`);
  });

  it("changes no file of a model: none but their own index names a norm's file", () => {
    const models = files.filter((name) => name.startsWith("models/") && !name.endsWith("index.ts"));
    const norms = files.filter((name) => name.startsWith("nn/norm/")).map((name) => name.replace(/^.*\/|\.ts$/g, ""));
    for (const name of models) {
      const source = readFileSync(new URL(name, root), "utf8");
      expect(
        norms.filter((norm) => source.includes(`/norm/${norm}.js"`)),
        name,
      ).toEqual([]);
    }
  });
});
