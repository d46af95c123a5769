/** What does not fit is refused where it does not, by the path of the module in the model. */
import { expect, it } from "vitest";
import * as nn from "../../src/nn/index.js";
import { LayerwiseError, ones, type Tensor, zeros } from "../../src/tensor/index.js";

/** The layer deep in a model: its path is `blocks.1.inner`. */
class Model extends nn.Module {
  readonly blocks: readonly { readonly inner: nn.AnyModule }[];
  constructor(
    inner: nn.AnyModule,
    readonly give: () => unknown,
  ) {
    super();
    this.blocks = [{ inner: new nn.Identity() as nn.AnyModule }, { inner }];
  }
  override forward(x: Tensor): Tensor {
    this.give();
    return x;
  }
}

const refusal = (inner: nn.AnyModule, ...inputs: readonly unknown[]): unknown => {
  const model = new Model(inner, () => (inner.apply as (...all: readonly unknown[]) => unknown)(...inputs));
  try {
    model.apply(zeros([1]));
  } catch (error) {
    return error;
  }
  return undefined;
};

const ids = (...shape: number[]): Tensor => zeros(shape, "int32");
const channelNorms = ["batch", "group", "unified", "evonorm-s0", "evonorm-b0"] as const;

const cases: readonly [string, () => nn.AnyModule, readonly unknown[]][] = [
  ["Linear: another width", () => new nn.Linear(4, 2), [zeros([3, 5])]],
  ["Linear: a number", () => new nn.Linear(4, 2), [zeros([])]],
  ["Conv1d: other channels", () => new nn.Conv1d(4, 2, 3), [zeros([1, 3, 9])]],
  ["Conv1d: no batch", () => new nn.Conv1d(4, 2, 3), [zeros([4, 9])]],
  ["Conv1d: shorter than the kernel", () => new nn.Conv1d(4, 2, 3), [zeros([1, 4, 2])]],
  ["Conv2d: other channels", () => new nn.Conv2d(3, 2, 3), [zeros([1, 4, 8, 8])]],
  ["Conv2d: a picture without its batch", () => new nn.Conv2d(3, 2, 3), [zeros([3, 8, 8])]],
  ["Conv2d: smaller than the kernel", () => new nn.Conv2d(3, 2, 5), [zeros([1, 3, 4, 8])]],
  ["Conv2d: integers", () => new nn.Conv2d(3, 2, 3), [ids(1, 3, 8, 8)]],
  ["ConvTranspose2d: other channels", () => new nn.ConvTranspose2d(3, 2, 3), [zeros([1, 2, 4, 4])]],
  ["Attention: another width", () => new nn.Attention(8, { heads: 2 }), [zeros([1, 3, 6])]],
  ["Attention: no batch", () => new nn.Attention(8, { heads: 2 }), [zeros([3, 8])]],
  [
    "Attention: padding of another length",
    () => new nn.Attention(8, { heads: 2 }),
    [zeros([2, 3, 8]), { padding: ones([2, 4], "bool") }],
  ],
  [
    "Attention: segments of another batch",
    () => new nn.Attention(8, { heads: 2 }),
    [zeros([2, 3, 8]), { segments: ids(3, 3) }],
  ],
  ["LayerNorm: another width", () => new nn.LayerNorm(4), [zeros([2, 5])]],
  ["RMSNorm: another width", () => new nn.RMSNorm(4), [zeros([2, 3])]],
  ["BatchNorm: other channels", () => new nn.BatchNorm(4), [zeros([2, 3, 5, 5])]],
  ["BatchNorm: a vector", () => new nn.BatchNorm(4), [zeros([4])]],
  ["GroupNorm: other channels", () => new nn.GroupNorm(2, 4), [zeros([2, 6, 5, 5])]],
  ["Embedding: ids that are floats", () => new nn.Embedding(10, 4), [zeros([2, 3])]],
  ...channelNorms.map(
    (name) => [`${name} by its name: other channels`, () => nn.normFactory(name)(8), [zeros([2, 6, 4, 4])]] as const,
  ),
] as never;

it.each(cases)("%s", (_, make, inputs) => {
  const error = refusal(make(), ...inputs);
  expect(error).toBeInstanceOf(LayerwiseError);
  expect((error as LayerwiseError).message).toMatch(/(^|at )blocks\.1\.inner\b/);
  expect((error as LayerwiseError).message).toMatch(/expected|got|do not|larger than|is int32/);
  expect(["shape", "dtype"]).toContain((error as LayerwiseError).code);
});

it.each(cases)("%s: in the words of the layer, not of an operation inside it", (_, make, inputs) => {
  expect((refusal(make(), ...inputs) as Error).message).not.toMatch(/(broadcast|reshape|matmul): /);
});
