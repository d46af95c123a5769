import { Draws } from "../data/images/draws.js";
import { rowCount, takeRows } from "../data/rows.js";
import { fail } from "../tensor/index.js";
import { checkRows } from "./federated-clients.js";
import type { Batch } from "./fit.js";

export interface DirichletSplitOptions {
  readonly clients: number;
  /** β: 0.1 gives clients of a few classes each, 100 nearly equal ones (default 0.5). */
  readonly beta?: number;
  /** The array of whole numbers that says the class (default "labels"). */
  readonly labels?: string;
  /** Fewest samples of a client: proportions are drawn again until every client has as many (default 1). */
  readonly minimum?: number;
  readonly seed?: number;
}

const tries = 1000;

/**
 * Data for clients with skewed labels: each class is divided among them in proportions p ~ Dirichlet(β). Every sample goes to
 * one client. Throws where no draw gives every client the fewest samples.
 *
 * Source: "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification", 2019, in the form by
 * class of "Federated Learning on Non-IID Data Silos", 2021.
 */
export function dirichletSplit(
  data: Batch,
  { clients, beta = 0.5, labels = "labels", minimum = 1, seed = 0 }: DirichletSplitOptions,
): Batch[] {
  checkRows("the data", data);
  if (!Number.isInteger(clients) || clients < 1)
    fail("argument", `dirichletSplit: expected a positive whole number of clients, got ${clients}`);
  if (!(beta > 0 && Number.isFinite(beta))) fail("argument", `dirichletSplit: expected a positive beta, got ${beta}`);
  const classes =
    data[labels] ?? fail("argument", `dirichletSplit: the data has no "${labels}"; say which array has them`);
  if (classes.size !== rowCount(data))
    fail("shape", `dirichletSplit: expected one label for each of ${rowCount(data)} samples, got ${classes.size}`);
  const numbers = classes.toNumbers();
  const known = [...new Set(numbers)]
    .sort((a, b) => a - b)
    .map((label) => numbers.flatMap((own, row) => (own === label ? [row] : [])));
  for (let attempt = 0; attempt < tries; attempt++) {
    const draws = new Draws({ seed, index: attempt }, "dirichlet split");
    const parts = divide(known, clients, beta, draws);
    if (parts.every((rows) => rows.length >= minimum))
      return parts.map((rows) =>
        takeRows(
          data,
          rows.sort((a, b) => a - b),
        ),
      );
  }
  return fail(
    "argument",
    `dirichletSplit: in ${tries} draws, ${clients} clients never had ${minimum} of ${classes.size} samples each; take a larger beta, fewer clients, or a smaller minimum`,
  );
}

function divide(classes: readonly (readonly number[])[], clients: number, beta: number, draws: Draws): number[][] {
  const parts = Array.from({ length: clients }, (): number[] => []);
  for (const rows of classes) {
    const shuffled = draws.shuffled(rows.length).map((i) => rows[i] as number);
    const sizes = Array.from({ length: clients }, () => draws.gamma(beta));
    const total = sizes.reduce((a, b) => a + b, 0);
    // For a tiny β all may underflow: one client has the class then.
    if (!(total > 0)) sizes[draws.whole(0, clients - 1)] = 1;
    let [sum, start] = [0, 0];
    for (const [k, size] of sizes.entries()) {
      sum += size / (total || 1);
      const end = k === clients - 1 ? rows.length : Math.min(rows.length, Math.round(sum * rows.length));
      parts[k]?.push(...shuffled.slice(start, end));
      start = end;
    }
  }
  return parts;
}
