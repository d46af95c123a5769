import { describe, expect, test } from "vitest";
import { compile, grad, NDArray, nn, type Tensor } from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";

const samples = [
  [3, 1, 4, 1, 5],
  [9, 2, 6],
  [5, 3, 5, 8, 9, 7, 9],
];
const width = 16;
const int32 = (rows: number[][]): NDArray => NDArray.from(rows, "int32");

/** All samples in one row, one place left over, and a second row that holds the last alone. */
const fill = (row: number[], value: number): number[] => [...row, ...Array<number>(width - row.length).fill(value)];
const packed = {
  tokens: int32([fill(samples.flat(), 0), fill(samples[2] as number[], 0)]),
  targets: int32([fill(samples.flatMap(nextOf), -100), fill(nextOf(samples[2] as number[]), -100)]),
  segments: int32([
    fill(
      samples.flatMap((s, i) => s.map(() => i + 1)),
      0,
    ),
    fill(Array(7).fill(1), 0),
  ]),
  positions: int32([
    fill(
      samples.flatMap((s) => s.map((_, t) => t)),
      0,
    ),
    fill([0, 1, 2, 3, 4, 5, 6], 0),
  ]),
};

function nextOf(sample: number[]): number[] {
  return sample.map((_, t) => sample[t + 1] ?? -100);
}

const model = (options: Partial<nn.GPTOptions>): nn.GPT =>
  nn.gpt({ layers: 2, width: 16, heads: 2, kvHeads: 1, vocabulary: 10, context: width, seed: 3, ...options });

type Inputs = Record<string, Tensor>;
const logitsOf = (gpt: nn.GPT, names: readonly string[]) =>
  compile((inputs: Inputs) => {
    const side = Object.fromEntries(names.map((name) => [name, inputs[name] as Tensor]));
    const logits = gpt.apply(inputs.tokens as Tensor, side);
    const loss = nn.crossEntropy(logits, inputs.targets as Tensor, { reduction: "sum" });
    const parameters = gpt.parameters();
    return { logits, gradients: grad(loss, parameters).reduce((sum, g) => sum.add(g.square().sum()), loss.mul(0)) };
  });

/** Logits of every sample of the first row, computed alone. */
async function alone(gpt: nn.GPT): Promise<number[]> {
  const program = logitsOf(gpt, []);
  const rows: number[] = [];
  for (const sample of samples) {
    const { logits } = await program({ tokens: int32([sample]), targets: int32([nextOf(sample)]) });
    rows.push(...(logits as NDArray).toNumbers());
  }
  return rows;
}

describe("a packed row gives what its samples give alone", () => {
  const both = ["segments", "positions"];
  test.each<[string, Partial<nn.GPTOptions>, string[]]>([
    ["rotary", { positions: "rotary" }, both],
    ["rotary, without positions: it sees distances only", { positions: "rotary" }, ["segments"]],
    ["ALiBi", { positions: "alibi" }, both],
    ["ALiBi, without positions", { positions: "alibi" }, ["segments"]],
    ["learned", { positions: "learned" }, both],
    ["sinusoidal", { positions: "sinusoidal" }, both],
    ["none", { positions: "none" }, both],
    ["a sliding window", { mask: nn.slidingWindow(2) }, both],
    ["a prefix", { mask: nn.prefix(3) }, both],
    ["everybody sees everybody", { mask: nn.bidirectional() }, both],
    ["a mask of one's own", { mask: nn.mask((query, key) => key.less(query)) }, both],
  ])("%s", async (_, options, names) => {
    const gpt = model(options);
    const feeds = Object.fromEntries(["tokens", "targets", ...names].map((name) => [name, packed[name as "tokens"]]));
    const { logits } = await logitsOf(gpt, names)(feeds);
    const expected = await alone(gpt);
    expect(relativeError((logits as NDArray).toNumbers().slice(0, expected.length), expected)).toBeLessThan(1e-5);
  });

  test("learned positions need to be told", async () => {
    const gpt = model({ positions: "learned" });
    const { tokens, targets, segments } = packed;
    const { logits } = await logitsOf(gpt, ["segments"])({ tokens, targets, segments });
    const expected = await alone(gpt);
    expect(relativeError((logits as NDArray).toNumbers().slice(0, expected.length), expected)).toBeGreaterThan(1e-3);
  });

  test("gradients too, and padding has none", async () => {
    for (const positions of ["rotary", "learned"] as const) {
      const gpt = model({ positions });
      const rows = [...samples, samples[2] as number[]];
      const apart = {
        tokens: int32(rows.map((s) => fill(s, 7))),
        targets: int32(rows.map((s) => fill(nextOf(s), -100))),
      };
      const { gradients: expected } = await logitsOf(gpt, [])(apart);
      const { gradients } = await logitsOf(gpt, both)(packed);
      expect(relativeError([(gradients as NDArray).item()], [(expected as NDArray).item()])).toBeLessThan(1e-5);
    }
  });
});

test.each([
  ["segments", "float32", [2, 3], "expected segments to be int32[2, 3] (batch, tokens), got float32[2, 3]"],
  ["segments", "int32", [2, 4], "expected segments to be int32[2, 3] (batch, tokens), got int32[2, 4]"],
  ["positions", "int32", [6], "expected positions to be int32[2, 3] (batch, tokens), got int32[6]"],
] as const)("%s of %s%j are refused", async (name, dtype, shape, message) => {
  const attention = new nn.Attention(8, { heads: 2 });
  const program = compile(({ x, side }: Inputs) => ({ y: attention.apply(x as Tensor, { [name]: side as Tensor }) }));
  await expect(program({ x: NDArray.zeros([2, 3, 8]), side: NDArray.zeros([...shape], dtype) })).rejects.toThrow(
    message,
  );
});
