/** A vision transformer without affine norms, as Pre-LN, Pre-RMSNorm and Pre-CRMSNorm: converted weights and logits. */
import {
  type Block,
  block,
  geluMLP,
  type LayerNorm,
  Linear,
  layerNorm,
  linearWriter,
  Module,
  type ResidualStream,
  readersOfBlock,
  type StreamModel,
  type StreamReader,
  toPreCRMSNorm,
  toPreRMSNorm,
  writersOfBlock,
} from "../../nn/index.js";
import { concat, NDArray, type Tensor, Variable } from "../../tensor/index.js";
import type { GoldenCase } from "./case.js";
import type { GoldenKind } from "./index.js";
import { runOnce } from "./run-once.js";

export const patchClassifier: GoldenKind = {
  matches: (file) => file.has("patches", "ln.patch_linear_weight", "ln.cls_token", "logits_ln"),
  run: async (file) => {
    const patches = file.take("patches");
    const model = await load(file, patches);
    const forms = { ln: model, rms: (await toPreRMSNorm(model)).model, crms: (await toPreCRMSNorm(model)).model };
    for (const [form, converted] of Object.entries(forms)) {
      const { logits } = await runOnce({ patches }, ({ patches: x }) => ({ logits: converted.apply(x as Tensor) }));
      file.compare(`logits_${form}`, logits as NDArray);
      const values = await converted.stateDict();
      for (const [name, expected] of file.takeAll(`${form}.`))
        compareWeight(file, `${form}.${name}`, ours(name), values, expected);
    }
  },
};

/** Patches [B, N, pixels] and a class token before them; positions on patches only; the class token's logits. */
class PatchClassifier extends Module implements StreamModel {
  readonly patches: Linear;
  readonly cls_token: Variable; // [1, 1, width]
  readonly positions: Variable; // [1, N, width]
  readonly layers: Block[];
  readonly norm: Module;
  readonly head: Linear;

  constructor(
    private readonly example: NDArray,
    { width, layers, heads, classes, eps }: Record<"width" | "layers" | "heads" | "classes" | "eps", number>,
    hidden: number,
  ) {
    super();
    const [, count, pixels] = example.shape as [number, number, number];
    const norm = (w: number): LayerNorm => layerNorm(w, { eps, affine: false });
    this.patches = new Linear(pixels, width);
    this.cls_token = new Variable(NDArray.zeros([1, 1, width]));
    this.positions = new Variable(NDArray.zeros([1, count, width]));
    const options = { heads, bias: true, norm, mlp: geluMLP({ hidden }) };
    this.layers = Array.from({ length: layers }, () => block(width, options));
    this.norm = norm(width);
    this.head = new Linear(width, classes);
  }

  override forward(patches: Tensor): Tensor {
    const embedded = this.patches.apply(patches).add(this.positions); // [B, N, width]
    const first = this.cls_token.expand([patches.dim(0), 1, embedded.dim(-1)]);
    const x = this.layers.reduce((stream, layer) => layer.apply(stream), concat([first, embedded], 1));
    return this.head.apply(this.norm.apply(x).slice({ axis: 1, start: 0, end: 1 }).squeeze(1));
  }

  readers(): StreamReader[] {
    const blocks = this.layers.flatMap((layer, l) => readersOfBlock(`layers.${l}`, layer));
    return [...blocks, { norm: "norm", linears: ["head"] }];
  }

  residualStream(): ResidualStream {
    return {
      width: this.cls_token.dim(-1),
      writers: [
        ...linearWriter("patches", this.patches),
        { path: "cls_token", axis: 2 },
        { path: "positions", axis: 2 },
        ...this.layers.flatMap((layer, l) => writersOfBlock(`layers.${l}`, layer)),
      ],
      readers: this.readers(),
      tied: false,
      dropout: 0,
    };
  }

  async untie(): Promise<void> {}

  exampleInput(): NDArray {
    return this.example;
  }
}

async function load(file: GoldenCase, patches: NDArray): Promise<PatchClassifier> {
  const values = file.takeAll("ln.");
  const sizes = {
    width: file.number("dim"),
    layers: file.number("depth"),
    heads: file.number("heads"),
    classes: file.number("num_classes"),
    eps: file.number("eps"),
  };
  const hidden = values.get("mlp_in_linear_weight")?.shape[1] as number;
  const model = new PatchClassifier(patches, sizes, hidden);
  const state = new Map([...model.namedVariables()].map(([name, { shape }]) => [name, shape]));
  const loaded = new Map<string, NDArray>();
  for (const [name, value] of values)
    for (const [path, part] of ours(name)(value)) loaded.set(path, part.reshape(state.get(path) ?? part.shape));
  model.loadStateDict(loaded);
  return model;
}

/** How one stored tensor is split over our parameters: per layer, and q, k, v apart. */
type Split = (value: NDArray) => Map<string, NDArray>;

function ours(name: string): Split {
  const [, stem, kind] = /^(.*?)_(weight|bias)$/.exec(name) ?? [];
  const single = { patch_linear: "patches", cls_head_linear: "head" }[stem ?? ""];
  if (single) return (value) => new Map([[`${single}.${kind}`, value]]);
  if (name === "cls_token") return (value) => new Map([[name, value]]);
  if (name === "pos_embedding") return (value) => new Map([["positions", value]]);
  const targets = {
    att_in_linear: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    att_out_linear: ["self_attn.o_proj"],
    mlp_in_linear: ["mlp.up_proj"],
    mlp_out_linear: ["mlp.down_proj"],
  }[stem ?? ""] as string[];
  return (value) => {
    const parts = new Map<string, NDArray>();
    const layers = equalParts(value, value.shape[0] as number);
    for (const [l, layer] of layers.entries())
      for (const [i, part] of equalParts(layer.reshape(layer.shape.slice(1)), targets.length).entries())
        parts.set(`layers.${l}.${targets[i]}.${kind}`, part);
    return parts;
  };
}

function equalParts(value: NDArray, count: number): NDArray[] {
  const size = value.size / count;
  const shape = [(value.shape[0] as number) / count, ...value.shape.slice(1)];
  return Array.from(
    { length: count },
    (_, i) => new NDArray(value.data.slice(i * size, (i + 1) * size), shape, value.dtype),
  );
}

function compareWeight(
  file: GoldenCase,
  name: string,
  split: Split,
  values: Map<string, NDArray>,
  expected: NDArray,
): void {
  for (const [path, part] of split(expected)) file.expect(`${name} (${path})`, values.get(path) as NDArray, part);
}
