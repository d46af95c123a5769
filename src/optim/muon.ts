import { fail, formatShape, linear, type Shape, type Tensor, type Variable } from "../tensor/index.js";
import { type AdamOptions, adamW } from "./adam.js";
import { checkDecays, type Group, type LearningRate, type Optimizer, optimizer } from "./optimizer.js";

export interface MuonOptions {
  readonly learningRate: LearningRate;
  /** Decay μ of the momentum (default 0.95). */
  readonly momentum?: number;
  /** Look ahead along the momentum (default true). */
  readonly nesterov?: boolean;
  /** Decay λ apart from the gradient (default 0.1, as in torch). */
  readonly weightDecay?: number;
  /** Newton-Schulz steps (default 5). */
  readonly steps?: number;
  /**
   * What a step on a matrix is multiplied by: "original" √max(1, rows / columns), the default; "match-rms-adamw"
   * 0.2 √max(rows, columns), with which AdamW's learning rate and weight decay fit (Muon is Scalable for LLM Training,
   * 2025); or a function of (rows, columns).
   */
  readonly scale?: MuonScale;
}

export type MuonScale = keyof typeof scales | ((rows: number, columns: number) => number);

const scales = {
  original: (rows: number, columns: number) => Math.sqrt(Math.max(1, rows / columns)),
  "match-rms-adamw": (rows: number, columns: number) => 0.2 * Math.sqrt(Math.max(rows, columns)),
};

type Settings = Required<MuonOptions>;

export interface MuonParts {
  /** What differs by path, among the matrices. */
  readonly groups?: readonly Group<MuonOptions>[];
  /** Which parameters are orthogonalised (default `isHiddenMatrix`); AdamW takes the others. */
  readonly matrices?: (path: string, shape: Shape) => boolean;
  /** For the others (default: AdamW's own, at the same learning rate). */
  readonly adamW?: Partial<AdamOptions> & { readonly groups?: readonly Group<AdamOptions>[] };
}

/**
 * Muon (Muon: An optimizer for hidden layers in neural networks, 2024): m ← μ m + (1 - μ) g; u = (1 - μ) g + μ m;
 * O = U Vᵀ of u = U S Vᵀ, nearly, by a Newton-Schulz iteration; θ ← θ (1 - η λ) - η · scale · O. For the matrices of
 * hidden layers (kernels of convolutions count as [out, rest]); embeddings, the head, gains and biases go to AdamW,
 * whose state has the prefix `adamW.`.
 */
export function muon(
  parameters: readonly Variable[],
  { groups = [], matrices = isHiddenMatrix, adamW: others = {}, ...own }: MuonOptions & MuonParts,
): Optimizer {
  const defaults: Settings = {
    momentum: 0.95,
    nesterov: true,
    weightDecay: 0.1,
    steps: 5,
    scale: "original",
    ...own,
  };
  for (const options of [defaults, ...groups.map((group) => group.options)]) check(options);
  const isMatrix = parameters.map(({ name, shape }) => matrices(name, shape));
  const of = <T>(list: readonly T[], which: boolean): T[] => list.filter((_, i) => isMatrix[i] === which);
  const [hidden, rest] = [of(parameters, true), of(parameters, false)];
  const flat = hidden.find(({ rank }) => rank < 2);
  if (flat) fail("argument", `muon: "${flat.name}" has shape ${formatShape(flat.shape)}; only matrices can be chosen`);
  const first =
    hidden.length > 0 || rest.length === 0
      ? optimizer<Settings>("muon", hidden, defaults, groups as readonly Group<Settings>[], ["momentum"], rule, false)
      : undefined;
  const second = rest.length > 0 ? adamW(rest, { learningRate: own.learningRate, ...others }) : undefined;
  const state = new Map([
    ...(first?.state() ?? []),
    ...[...(second?.state() ?? [])].map(([name, variable]) => [`adamW.${name}`, variable] as const),
  ]);
  return {
    parameters,
    state: () => state,
    update(gradients) {
      if (gradients.length !== parameters.length)
        fail("gradient", `muon: ${gradients.length} gradients for ${parameters.length} parameters`);
      first?.update(of(gradients, true));
      second?.update(of(gradients, false));
    },
  };
}

/** A matrix, or a kernel, that is neither an embedding nor a head, by the names these have in checkpoints. */
export const isHiddenMatrix = (path: string, shape: Shape): boolean =>
  shape.length >= 2 && !/(^|\.)([^.]*embed[^.]*|lm_head|head|classifier|wte|wpe)(\.[^.]*)?$/.test(path);

const rule: Parameters<typeof optimizer<Settings>>[5] = ({ parameter: θ, gradient: g, options, moment }) => {
  const { momentum: μ, learningRate: η, weightDecay: λ } = options;
  const old = moment("momentum");
  const m = old.mul(μ).add(g.mul(1 - μ));
  old.assign(m);
  const u = options.nesterov ? g.mul(1 - μ).add(m.mul(μ)) : m;
  const rows = u.dim(0);
  const columns = u.size / rows;
  const scale = typeof options.scale === "function" ? options.scale : scales[options.scale];
  const step = orthogonal(u.reshape([rows, columns]), options.steps)
    .reshape(θ.shape)
    .mul(scale(rows, columns));
  return θ.sub((λ > 0 ? step.add(θ.mul(λ)) : step).mul(η));
};

/**
 * Near U Vᵀ of x = U S Vᵀ: x / ‖x‖, then X ← a X + (b A + c A²) X with A = X Xᵀ, which brings every singular value into
 * about [0.7, 1.2]. The coefficients are steep at 0 rather than exact at 1.
 */
function orthogonal(x: Tensor, steps: number): Tensor {
  const [a, b, c] = [3.4445, -4.775, 2.0315];
  const isTall = x.dim(0) > x.dim(1);
  const wide = isTall ? x.transpose() : x;
  let X = wide.div(wide.square().sum().sqrt().add(1e-7));
  for (let i = 0; i < steps; i++) {
    const A = linear(X, X); // X Xᵀ
    X = X.mul(a).add(A.mul(b).add(A.matmul(A).mul(c)).matmul(X));
  }
  return isTall ? X.transpose() : X;
}

function check({ momentum = 0, steps = 5, scale = "original" }: Partial<MuonOptions>): void {
  checkDecays("muon", { momentum });
  if (!Number.isInteger(steps) || steps < 1)
    fail("argument", `muon: steps must be a positive whole number, got ${steps}`);
  if (typeof scale !== "function" && !Object.hasOwn(scales, scale))
    fail(
      "argument",
      `muon: there is no scale "${scale}"; known: ${Object.keys(scales).join(", ")}, or a function of (rows, columns)`,
    );
}
