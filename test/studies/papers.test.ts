import { readdirSync, readFileSync } from "node:fs";
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
  /** Files named after papers: found by everything that reads them, listed nowhere. */
  const places = ["catalogue/papers", "studies/papers", "studies/golden"];
  const ids = papers.map(({ id }) => id);
  const source = (path: string) => readFileSync(new URL(`../../src/${path}`, import.meta.url), "utf8");

  it("is its module beside an entry, a study and reference numbers: four files, three of them found by their name", () => {
    for (const { id, state } of papers)
      if (state === "done") for (const place of places) expect(list(place), `${place} of ${id}`).toContain(`${id}.ts`);
  });

  it("is one line in the catalogue, and no line for its study or its reference numbers", () => {
    for (const id of ids) {
      const lines = (path: string) =>
        source(path)
          .split("\n")
          .filter((line) => line.includes(`/${id}.js`));
      expect(lines("catalogue/papers/index.ts"), id).toHaveLength(1);
      expect([...lines("studies/index.ts"), ...lines("studies/golden/index.ts")], id).toEqual([]);
    }
  });
});
