/**
 * Attention weights as they are in the model, softmax(cap(scale · q kᵀ) + bias): who looks at whom. The program computes
 * them in pieces, for groups of heads and stretches of queries; here they are one array again.
 */
import { type Part, parts, whole } from "../nn/attention-parts.js";
import { type AnyModule, Attention } from "../nn/index.js";
import { allocate, fail, NDArray, type Tensor } from "../tensor/index.js";

/** The attention modules of a model by path. */
export const attentionsOf = (model: AnyModule): ReadonlyMap<string, Attention> =>
  new Map([...model.namedModules()].filter((entry): entry is [string, Attention] => entry[1] instanceof Attention));

/** The softmaxes of the attention at `path`, in the order of their queries, among the operations of a trace. */
export function softmaxesOf(path: string, operations: ReadonlyMap<string, Tensor>): Tensor[] {
  const found: Tensor[] = [];
  for (let i = 0; ; i++) {
    const tensor = operations.get(`${path}/softmax${i === 0 ? "" : `#${i}`}`);
    if (!tensor) return found;
    found.push(tensor);
  }
}

/** [batch, heads, tokens, keys] from the pieces of one run over `tokens` tokens; keys that a piece leaves out weigh 0. */
export function joinAttention(path: string, { heads, mask }: Attention, pieces: readonly NDArray[]): NDArray {
  const [first] = pieces as [NDArray];
  const batch = first.shape[0] as number;
  const tokens = pieces.reduce((sum, { size, shape }) => sum + size / (batch * heads * (shape[3] as number)), 0);
  const planned: readonly Part[] = pieces.length === 1 ? [whole(tokens, tokens)] : parts(mask, tokens);
  if (planned.length !== pieces.length || !Number.isInteger(tokens))
    fail("argument", `attention(${path}): this attention does not compute its weights in the usual way`);
  const data = allocate("float32", batch * heads * tokens * tokens);
  for (const [i, { rows, keys }] of planned.entries()) {
    const piece = pieces[i] as NDArray;
    const [height, width] = [rows[1] - rows[0], keys[1] - keys[0]];
    for (let j = 0; j < piece.size; j++) {
      const [line, column] = [Math.floor(j / width), j % width];
      const [map, row] = [Math.floor(line / height), line % height];
      data[(map * tokens + rows[0] + row) * tokens + keys[0] + column] = piece.at(j);
    }
  }
  return new NDArray(data, [batch, heads, tokens, tokens], "float32");
}
