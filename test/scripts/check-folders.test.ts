import { describe, expect, it } from "vitest";

// A script in plain JavaScript has no declarations: its one function is typed here.
const script: string = "../../scripts/check-folders.js";
const { violations } = (await import(script)) as { violations: (file: string, text: string) => string[] };

describe("check-folders", () => {
  it.each([
    ["nn/linear.ts", 'import { Tensor } from "../tensor/index.js";'],
    ["nn/norm/rms.ts", 'import { Module } from "../module.js";'],
    ["report/page.ts", 'import type { Claim } from "../catalogue/claim.js";'],
    ["runtime/session.ts", 'import { open } from "#host";'],
    ["cli/main.ts", 'import { Command } from "commander";'],
    ["index.ts", 'export * from "./cli/main.js";'],
  ])("%s may say %s", (file, text) => {
    expect(violations(file, text)).toEqual([]);
  });

  it.each([
    [
      "tensor/a.ts",
      'import { x } from "../nn/index.js";',
      "src/tensor/a.ts:1: tensor must not import nn (../nn/index.js)",
    ],
    [
      "nn/norm/a.ts",
      '\nexport * from "../../models/gpt.js";',
      "src/nn/norm/a.ts:2: nn must not import models (../../models/gpt.js)",
    ],
    [
      "studies/a.ts",
      'import type { R } from "../report/r.js";',
      "src/studies/a.ts:1: studies must not import report (../report/r.js)",
    ],
    [
      "nn/a.ts",
      'const late = await import("../cli/main.js");',
      "src/nn/a.ts:1: nn must not import cli (../cli/main.js)",
    ],
    ["tensor/a.ts", 'import { open } from "#host";', "src/tensor/a.ts:1: tensor must not import runtime (#host)"],
    ["nn/a.ts", 'import { nn } from "../index.js";', "src/nn/a.ts:1: imports ../index.js, an entry point"],
    ["nn/a.ts", 'import { x } from "../../scripts/x.js";', "src/nn/a.ts:1: imports ../../scripts/x.js, outside src"],
    ["misc/a.ts", "", 'src/misc/a.ts: folder "misc" is not in the list of scripts/check-folders.js'],
  ])("%s may not say %s", (file, text, message) => {
    expect(violations(file, text)).toEqual([message]);
  });
});
