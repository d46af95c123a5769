/**
 * What a paper is to this toolkit. The kind says which folder holds its code, and so what shape its code has:
 * a normalisation is a module, a compression takes a model and gives a smaller one, and so on.
 */
export const kinds = {
  normalization: "a module, and its folding for inference",
  placement: "where norms sit around the sub-layers of a block",
  architecture: "blocks and models",
  compression: "takes a model, gives a smaller one and a report",
  adaptation: "takes a model, gives a trainable variant; merge and un-merge",
  objective: "a loss, or a rule for targets",
  inspection: "takes a model and data, gives numbers per layer and pictures",
  application: "a task with its own data and metrics",
} as const;

export type Kind = keyof typeof kinds;

/** `done`: implemented, tested against reference numbers, exported. `planned`: nothing of it can be called yet. */
export type State = "done" | "planned";

export interface Paper<Id extends string = string> {
  /** Short name, the same in the command line, file names and results. */
  readonly id: Id;
  readonly title: string;
  /** Year of the first public version. */
  readonly year: number;
  readonly link?: string;
  readonly kind: Kind;
  /** What it is and why one would want it, in our own words: one or two sentences, 25 to 60 words. */
  readonly summary: string;
  readonly state: State;
  /** Names the package exports for it: `nn.rmsNorm` is the export `nn`, its member `rmsNorm`. */
  readonly exports?: readonly string[];
  /** When to use it, for someone who has not read the paper. */
  readonly when?: string;
  /** A program that uses it, run by a test. */
  readonly example?: string;
  /** The study that measures its claims: `layerwise reproduce <id>`. */
  readonly study?: string;
}

/** Checks an entry's types and keeps its id as a literal, so that `paper("…")` completes in an editor. */
export function entry<const Id extends string>(paper: Paper<Id>): Paper<Id> {
  return paper;
}
