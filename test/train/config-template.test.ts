import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { parseConfig } from "../../src/train/config.js";
import { configDefaults, configKeys } from "../../src/train/config-keys.js";
import { schema } from "../../src/train/config-schema.js";
import { configTemplate, templates } from "../../src/train/config-template.js";
import { applyOverride } from "../../src/train/strict-yaml.js";

const names = Object.keys(templates) as (keyof typeof templates)[];
const nested = (values: Readonly<Record<string, unknown>>): Record<string, unknown> => {
  const data = {};
  for (const [key, value] of Object.entries(values)) applyOverride(data, `${key}=${JSON.stringify(value)}`);
  return data;
};

describe("every key of the schema", () => {
  const all = configKeys.flatMap((key) => [key, ...(key.keys ?? [])]);

  test.each(all.map((key) => [key.name, key] as const))(
    "%s says what it does, and has a value or an example",
    (_, key) => {
      expect(key.description).toMatch(/\S/);
      expect(key.description.length).toBeLessThanOrEqual(80);
      if (!key.keys) expect(key.default ?? key.example).not.toBeUndefined();
    },
  );

  test.each(configKeys.filter((key) => !key.keys && key.example !== undefined))(
    "$name's example is accepted",
    (key) => {
      const needs = key.name === "adapter" ? { base_model: "a" } : {};
      const file = { data: { path: "a" }, num_epochs: 1, ...needs, [key.name]: key.example };
      expect(schema.safeParse(file).error?.issues).toBeUndefined();
    },
  );
});

describe.each(names)("the template %s", (name) => {
  const text = configTemplate(templates[name]);

  test("reads as the schema's defaults with the template's values", () => {
    const expected = parseConfig(JSON.stringify(nested(templates[name])));
    expect(parseConfig(text).config).toEqual(expected.config);
  });

  test("lists every key once, set or commented out", () => {
    const listed = [...text.matchAll(/^ *(?:# *)?(?:- )?([a-z_0-9]+):/gm)].map(([, key]) => key as string);
    const keys = configKeys.flatMap((key) => [key.name, ...(key.keys ?? []).map((inner) => inner.name)]);
    expect(listed).toEqual(keys);
  });

  test("writes out every default that it does not change", () => {
    const read = parse(text) as Record<string, Record<string, unknown>>;
    for (const [key, value] of configDefaults) {
      if (value === undefined || key in templates[name]) continue;
      const [outer = "", inner] = key.split(".");
      // Either data or datasets.
      if (outer === "data" && "datasets" in templates[name]) continue;
      expect(inner === undefined ? read[outer] : read[outer]?.[inner], key).toEqual(value);
    }
  });

  test("has lines of at most 120 characters", () => {
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(120);
  });
});

test("with nothing set, a section without values is a comment as a whole", () => {
  expect(parse(configTemplate({ "data.path": "a" }))).not.toHaveProperty("model");
});
