/** Matrix products, and every sum of products that comes down to them. */
import { inPrecision, isRounded } from "./autocast.js";
import { eye } from "./constant.js";
import { isFloat } from "./dtype.js";
import { add, mul } from "./elementwise.js";
import { fail, LayerwiseError } from "./errors.js";
import { sum } from "./reduction.js";
import { broadcastShapes, formatShape, type Shape, sameShape, sizeOf } from "./shape.js";
import { expand, reshape, sumTo, transpose, unsqueeze } from "./shaping.js";
import { attachMethods, contribDomain, defineSingle, type Lowering, type MethodsOf, type Tensor } from "./tensor.js";

interface MatmulAttributes {
  /** Read the matrices of the first (second) operand transposed. */
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

const rowsColumns = (x: Tensor, transposed: boolean): [number, number] =>
  transposed ? [x.dim(-1), x.dim(-2)] : [x.dim(-2), x.dim(-1)];

const makeMatmul = defineSingle<MatmulAttributes>({
  name: "matmul",
  // A third operand is a bias [n], added to every row by the product itself rather than in a pass of its own.
  infer: ([first, second, bias], { transposeA, transposeB }) => {
    const [a, b] = [first as Tensor, second as Tensor];
    const [m, k] = rowsColumns(a, transposeA);
    const [k2, n] = rowsColumns(b, transposeB);
    if (a.dtype !== b.dtype) fail("dtype", `matmul: ${a.dtype} and ${b.dtype}; convert one with .cast("${a.dtype}")`);
    if (a.dtype === "bool") fail("dtype", 'matmul: does not accept bool; convert with .cast("float32")');
    if (k !== k2)
      fail(
        "shape",
        `matmul: ${formatShape([...a.shape.slice(0, -2), m, k])} times ${formatShape([...b.shape.slice(0, -2), k2, n])}: inner lengths ${k} and ${k2} differ`,
      );
    if (bias && !sameShape(bias.shape, [n]))
      fail("shape", `matmul: expected a bias of shape [${n}], got ${formatShape(bias.shape)}`);
    return { shape: [...broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n], dtype: a.dtype };
  },
  gradient: ({ inputs, gradient: g, needs, attributes: { transposeA: ta, transposeB: tb } }) => {
    const [a, b] = inputs as [Tensor, Tensor];
    const dA = () => (ta ? product(b, g, tb, true) : product(g, b, false, !tb));
    const dB = () => (tb ? product(g, a, true, ta) : product(a, g, !ta, false));
    return [
      needs(0) ? sumTo(dA(), a.shape) : undefined,
      needs(1) ? sumTo(dB(), b.shape) : undefined,
      inputs[2] && needs(2) ? sumTo(g, inputs[2].shape) : undefined,
    ];
  },
  flops: ({ inputs, outputs, attributes }) => {
    const [, k] = rowsColumns(inputs[0] as Tensor, (attributes as MatmulAttributes).transposeA);
    return 2 * k * (outputs[0] as Tensor).size;
  },
  lower: (lowering) => {
    const { emit, value, inputs, node, target, here, attributes } = lowering;
    const { transposeA, transposeB } = attributes;
    const [a, b] = node.inputs as [Tensor, Tensor];
    const areMatrices = isProduct(a, b);
    if (areMatrices && target !== "webgpu")
      return emit("Gemm", inputs, { transA: Number(transposeA), transB: Number(transposeB) });
    const [x, y, bias] = inputs as [string, string, string | undefined];
    const isFused = here && target !== "webgpu" && (transposeA || transposeB) && a.dtype === "float32" && a.size > 0;
    if (isFused && bias === undefined)
      return emit("FusedMatMul", [x, y], { transA: Number(transposeA), transB: Number(transposeB) }, contribDomain);
    const flipped = (name: string, tensor: Tensor, flag: boolean) =>
      flag ? value("Transpose", [name], { perm: lastTwoSwapped(tensor.rank) }) : name;
    const operands = [flipped(x, a, transposeA), flipped(y, b, transposeB)] as const;
    if (areMatrices) lowerInBatch(lowering, operands, bias);
    else if (bias === undefined) emit("MatMul", operands);
    else emit("Add", [value("MatMul", operands), bias]);
  },
});

/** What ONNX's Gemm takes: two matrices of floats, none empty. */
const isProduct = (a: Tensor, b: Tensor): boolean =>
  a.rank === 2 && b.rank === 2 && isFloat(a.dtype) && a.size > 0 && b.size > 0;

/**
 * WebGPU's Gemm reads a transposed matrix several times slower than its MatMul one that was transposed before. The engine would make
 * that a Gemm again, but not of a batch, even of one.
 */
function lowerInBatch(
  { emit, value, integers, node }: Lowering<MatmulAttributes>,
  [x, y]: readonly [string, string],
  bias: string | undefined,
): void {
  const batch = value("MatMul", [value("Unsqueeze", [x, integers([0])]), y]);
  const shape = integers((node.outputs[0] as Tensor).shape);
  if (bias === undefined) emit("Reshape", [batch, shape], { allowzero: 1 });
  else emit("Add", [value("Reshape", [batch, shape], { allowzero: 1 }), bias]);
}

const lastTwoSwapped = (rank: number): number[] =>
  Array.from({ length: rank }, (_, i) => (i === rank - 2 ? rank - 1 : i === rank - 1 ? rank - 2 : i));

/** The operand behind a transpose of the last two axes, which the product can take for free. */
function unwrap(x: Tensor, transposed: boolean): [Tensor, boolean] {
  const { operation, attributes, inputs } = x.node;
  if (operation.name !== "transpose") return [x, transposed];
  const { permutation } = attributes as { permutation: readonly number[] };
  const swapped = lastTwoSwapped(x.rank);
  return permutation.every((axis, i) => axis === swapped[i]) ? [inputs[0] as Tensor, !transposed] : [x, transposed];
}

function product(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean, bias?: Tensor): Tensor {
  const [x, ta] = unwrap(a, transposeA);
  const [y, tb] = unwrap(b, transposeB);
  const make = (operands: readonly Tensor[]) => makeMatmul(operands, { transposeA: ta, transposeB: tb });
  if (bias && !isRounded([x, y])) return make([x, y, bias]);
  const z = inPrecision([x, y], make);
  return bias ? add(z, bias) : z;
}

/**
 * Matrix product over the last two axes, the others broadcast as in NumPy; vectors count as a row (left) or a column
 * (right). A batch times one matrix is done as one large product.
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  if (a.rank === 0 || b.rank === 0)
    fail("shape", `matmul: expected matrices, got ${formatShape(a.shape)} and ${formatShape(b.shape)}`);
  if (a.rank === 1) return reshapeWithout(matmul(unsqueeze(a, 0), b), b.rank === 1 ? -1 : -2);
  if (b.rank === 1) return reshapeWithout(matmul(a, unsqueeze(b, -1)), -1);
  if (a.rank > 2 && b.rank === 2) {
    const rows = reshape(a, [sizeOf(a.shape.slice(0, -1)), a.dim(-1)]);
    const y = product(rows, b, false, false);
    return reshape(y, [...a.shape.slice(0, -1), y.dim(-1)]);
  }
  return product(a, b, false, false);
}

const reshapeWithout = (x: Tensor, axis: number): Tensor =>
  reshape(
    x,
    x.shape.filter((_, i) => i !== x.rank + axis),
  );

/** x Wᵀ + b, with W [out, in] as checkpoints keep it: [.., in] to [.., out]. */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  if (x.rank === 0 || x.dim(-1) !== weight.dim(-1))
    fail("shape", `linear: expected last axis ${weight.dim(-1)}, got ${formatShape(x.shape)}`);
  const rows = x.rank === 2 ? x : reshape(x, [sizeOf(x.shape.slice(0, -1)), x.dim(-1)]);
  return reshape(product(rows, weight, false, true, bias), [...x.shape.slice(0, -1), weight.dim(0)]);
}

/**
 * Einstein summation: `einsum("bij,bjk->bik", a, b)`. Letters in several operands and not in the result are summed;
 * `...` stands for leading axes that broadcast. Done as transposes, reshapes and matrix products, left to right.
 */
export function einsum(equation: string, ...operands: Tensor[]): Tensor {
  try {
    return contract(equation, operands);
  } catch (error) {
    if (!(error instanceof LayerwiseError)) throw error;
    throw new LayerwiseError(error.code, `einsum "${equation}": ${error.message}`, { cause: error });
  }
}

interface Term {
  readonly x: Tensor;
  readonly letters: readonly string[];
}

function contract(equation: string, operands: readonly Tensor[]): Tensor {
  const [left = "", right] = equation.replaceAll(/\s/g, "").split("->");
  const inputs = left.split(",");
  if (inputs.length !== operands.length || operands.length === 0)
    fail("argument", `names ${inputs.length} operands, ${operands.length} were given`);
  const dots = Math.max(
    0,
    ...inputs.map((letters, i) => (letters.includes("...") ? (operands[i] as Tensor).rank - letters.length + 3 : 0)),
  );
  const terms = inputs.map((letters, i) => parse(letters, operands[i] as Tensor, dots));
  const lengths = new Map<string, number>();
  for (const { x, letters } of terms)
    for (const [i, letter] of letters.entries()) {
      const [n, known] = [x.dim(i), lengths.get(letter) ?? 1];
      if (n !== known && n !== 1 && known !== 1)
        fail("shape", `axis "${letter}" is ${known} in one operand and ${n} in another`);
      lengths.set(letter, known === 1 ? n : known);
    }
  const all = terms.flatMap((t) => t.letters);
  const once = [...new Set(all)].filter((l) => all.indexOf(l) === all.lastIndexOf(l)).sort();
  const ellipsis = Array.from({ length: dots }, (_, i) => `.${i}`);
  const output =
    right === undefined ? [...ellipsis, ...once.filter((l) => !l.startsWith("."))] : split(right, ellipsis);
  const unknown = output.find((letter) => !lengths.has(letter));
  if (unknown !== undefined) fail("argument", `the result names axis "${unknown}", which no operand has`);
  const stretched = terms.map((t) => stretch(diagonal(t), lengths, terms));
  const result = stretched.reduce((a, b, i) =>
    pairwise(a, b, new Set([...output, ...stretched.slice(i + 1).flatMap((t) => t.letters)])),
  );
  const summed = sumOut(result, new Set(output));
  return transpose(
    summed.x,
    output.map((letter) => summed.letters.indexOf(letter)),
  );
}

const split = (letters: string, ellipsis: readonly string[]): string[] => {
  const [before, after] = letters.includes("...") ? (letters.split("...") as [string, string]) : [letters, undefined];
  return after === undefined ? [...before] : [...before, ...ellipsis, ...after];
};

function parse(text: string, x: Tensor, dots: number): Term {
  const own = x.rank - (text.length - 3);
  const ellipsis = Array.from({ length: Math.max(0, own) }, (_, i) => `.${dots - own + i}`);
  const letters = split(text, ellipsis);
  if (letters.length !== x.rank)
    fail("shape", `"${text}" names ${letters.length} axes, the operand is ${formatShape(x.shape)}`);
  return { x, letters };
}

/** "ii" reads the diagonal: mask the rest away and sum one of the two axes. */
function diagonal({ x, letters }: Term): Term {
  const second = letters.findIndex((letter, i) => letters.indexOf(letter) < i);
  if (second < 0) return { x, letters };
  const first = letters.indexOf(letters[second] as string);
  const shape: Shape = x.shape.map((n, i) => (i === first || i === second ? n : 1));
  const mask = reshape(eye(x.dim(first), x.dtype), shape);
  return diagonal({ x: sum(mul(x, mask), second), letters: letters.filter((_, i) => i !== second) });
}

/** An axis of length 1 that another operand has longer broadcasts. */
function stretch(term: Term, lengths: ReadonlyMap<string, number>, terms: readonly Term[]): Term {
  if (terms.length === 1) return term;
  return {
    ...term,
    x: expand(
      term.x,
      term.letters.map((letter) => lengths.get(letter) as number),
    ),
  };
}

const sumOut = ({ x, letters }: Term, keep: ReadonlySet<string>): Term => {
  const drop = letters.flatMap((letter, i) => (keep.has(letter) ? [] : [i]));
  return drop.length === 0
    ? { x, letters }
    : { x: sum(x, drop), letters: letters.filter((letter) => keep.has(letter)) };
};

function pairwise(first: Term, second: Term, keep: ReadonlySet<string>): Term {
  const a = sumOut(first, new Set([...keep, ...second.letters]));
  const b = sumOut(second, new Set([...keep, ...first.letters]));
  const shared = a.letters.filter((letter) => b.letters.includes(letter));
  const batch = shared.filter((letter) => keep.has(letter));
  const inner = shared.filter((letter) => !keep.has(letter));
  const rows = a.letters.filter((letter) => !shared.includes(letter));
  const columns = b.letters.filter((letter) => !shared.includes(letter));
  const length = (term: Term, letter: string) => term.x.dim(term.letters.indexOf(letter));
  const grouped = (term: Term, ...groups: (readonly string[])[]) =>
    reshape(
      transpose(
        term.x,
        groups.flat().map((letter) => term.letters.indexOf(letter)),
      ),
      groups.map((letters) => sizeOf(letters.map((letter) => length(term, letter)))),
    );
  const y = product(grouped(a, batch, rows, inner), grouped(b, batch, inner, columns), false, false);
  const shape = [...batch, ...rows]
    .map((letter) => length(a, letter))
    .concat(columns.map((letter) => length(b, letter)));
  return { x: reshape(y, shape), letters: [...batch, ...rows, ...columns] };
}

const methods = { matmul };
declare module "./tensor.js" {
  interface Tensor extends MethodsOf<typeof methods> {}
}
attachMethods(methods);
