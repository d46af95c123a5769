/** The passes before lowering: what is equal is computed once. */
import { expect, it } from "vitest";
import { optimize } from "../../src/compile/passes.js";
import { input, reachable } from "../../src/tensor/index.js";

const x = input([], { name: "x", shape: [2, 6], dtype: "float32" });
const names = (tensors: Parameters<typeof optimize>[0]) =>
  reachable(optimize(tensors)).map(({ operation }) => operation.name);

it("merges what only becomes equal by being simplified", () => {
  const twice = () => x.reshape([12]).reshape([3, 4]).exp();
  expect(names([twice(), twice()])).toEqual(["input", "reshape", "exp"]);
});

it("merges it with what was simple already", () => {
  expect(names([x.reshape([3, 4]).exp(), x.reshape([12]).reshape([3, 4]).exp()])).toEqual(["input", "reshape", "exp"]);
});

it("keeps what is different", () => {
  expect(names([x.reshape([12]).reshape([3, 4]).exp(), x.reshape([12]).reshape([4, 3]).exp()])).toEqual([
    "input",
    "reshape",
    "exp",
    "reshape",
    "exp",
  ]);
});
