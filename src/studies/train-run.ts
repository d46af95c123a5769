/** One model of a study, trained by `fit` as a user would, with the study's listener told. */
import type { AnyModule } from "../nn/index.js";
import { compile, type Feed } from "../runtime/index.js";
import { inference, type Tensor } from "../tensor/index.js";
import { type Batch, type FitOptions, fit } from "../train/fit.js";
import type { StudyContext } from "./study.js";
import type { LinesFigure } from "./study-report.js";

export interface Trained {
  /** Loss of every step. */
  readonly losses: readonly number[];
  readonly seconds: number;
}

/** Throws the signal's reason where the study is stopped. */
export async function trainRun(
  { signal, progress }: Pick<StudyContext, "signal" | "progress">,
  { title, ...options }: Omit<FitOptions, "signal"> & { readonly title: string },
): Promise<Trained> {
  const losses: number[] = [];
  const started = performance.now();
  for await (const event of fit({ ...options, ...(signal && { signal }) })) {
    if (event.kind !== "step") continue;
    losses.push(event.loss);
    progress({ kind: "step", title, step: event.step, steps: event.steps, loss: event.loss });
  }
  signal?.throwIfAborted();
  return { losses, seconds: (performance.now() - started) / 1000 };
}

/** The mean of a number over batches, the model in inference mode. */
export async function meanOver(
  batches: AsyncIterable<Batch> | Iterable<Batch>,
  measure: (inputs: Readonly<Record<string, Tensor>>) => Tensor,
): Promise<number> {
  const program = compile((inputs: Record<string, Tensor>) => ({ value: inference(() => measure(inputs)) }));
  let [sum, count] = [0, 0];
  for await (const batch of batches) {
    sum += (await program(batch as Record<string, Feed>)).value.item();
    count++;
  }
  await program.release();
  return sum / count;
}

/** Outputs of a model in inference mode, as numbers. */
export async function outputsOf(model: AnyModule, input: Feed): Promise<number[]> {
  const apply = (model as unknown as { apply(x: Tensor): Tensor }).apply.bind(model);
  const program = compile(({ x }: { x: Tensor }) => ({ y: inference(() => apply(x)) }));
  const { y } = await program({ x: input });
  await program.release();
  return y.toNumbers();
}

/** Curves of runs by name. */
export const lossCurves = (
  runs: Readonly<Record<string, readonly Pick<Trained, "losses">[]>>,
  text: Pick<LinesFigure, "title" | "caption"> & { readonly unit: string },
): LinesFigure => ({
  kind: "lines",
  title: text.title,
  caption: text.caption,
  x: { label: "step" },
  y: { label: "loss", unit: text.unit },
  series: Object.entries(runs).map(([name, list]) => ({
    key: name,
    name,
    runs: list.map(({ losses }) => ({ x: losses.map((_, i) => i + 1), y: losses })),
  })),
  smooth: 9,
});
