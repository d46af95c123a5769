/** Clients of a federated training: their samples, who takes part in a round, and in which order samples come. */
import { keyedPermutation } from "../data/permutation.js";
import { rowCount, takeRows } from "../data/rows.js";
import { fail } from "../tensor/index.js";
import type { Batch } from "./fit.js";

export interface FederatedClient {
  readonly name: string;
  /** Arrays of one sample per row of their first axis, named as the loss takes them. */
  readonly train: Batch;
  readonly test?: Batch;
}

export interface LocalOptions {
  /** Samples of a local step (default 32). */
  readonly batchSize?: number;
  /** Leave out the last batch of a pass where it is short (default false: it is used as it is). */
  readonly dropLast?: boolean;
  /** Passes over a client's samples in a round (default 1) … */
  readonly localEpochs?: number;
  /** … or steps, in as many passes as they need. */
  readonly localSteps?: number;
  /** An order of its own for every pass (default true). */
  readonly shuffle?: boolean;
  readonly seed?: number;
}

/** Throws for no clients, names that are empty or not unique, clients without samples, and too few for a whole batch. */
export function checkClients(
  clients: readonly FederatedClient[],
  { batchSize = 32, dropLast = false }: LocalOptions,
): void {
  if (clients.length === 0) fail("argument", "federated: got no clients");
  const seen = new Set<string>();
  for (const { name, train, test } of clients) {
    if (name === "" || seen.has(name))
      fail(
        "argument",
        `federated: expected every client to have a name of its own, got "${name}"${name ? " twice" : ""}`,
      );
    seen.add(name);
    checkRows(`the training data of "${name}"`, train);
    if (test) checkRows(`the test data of "${name}"`, test);
    const count = rowCount(train);
    if (dropLast && count < batchSize)
      fail(
        "argument",
        `federated: client "${name}" has ${count} samples, fewer than a batch of ${batchSize}; use dropLast: false or smaller batches`,
      );
  }
}

/** Throws for arrays of different numbers of rows, or none. */
export function checkRows(what: string, batch: Batch): void {
  const counts = Object.entries(batch).map(([key, { shape }]) => [key, shape[0] ?? 0] as const);
  const [first] = counts;
  if (!first || first[1] === 0) fail("argument", `federated: ${what} has no samples`);
  for (const [key, count] of counts)
    if (count !== first[1])
      fail(
        "shape",
        `federated: ${what} has ${first[1]} rows of "${first[0]}" and ${count} of "${key}"; expected as many`,
      );
}

/** Local steps of a client in one round. */
export function localStepsOf(
  count: number,
  { batchSize = 32, dropLast = false, localEpochs = 1, localSteps }: LocalOptions,
): number {
  const perPass = dropLast ? Math.floor(count / batchSize) : Math.ceil(count / batchSize);
  return localSteps ?? localEpochs * perPass;
}

/** Batch `step` of client `k` in a round: the same numbers always give the same batch. */
export function localBatch(train: Batch, options: LocalOptions, k: number, round: number, step: number): Batch {
  const { batchSize = 32, dropLast = false, shuffle = true, seed = 0 } = options;
  const count = rowCount(train);
  const perPass = localStepsOf(count, { batchSize, dropLast });
  const [pass, place] = [Math.floor(step / perPass), (step % perPass) * batchSize];
  const order = shuffle ? keyedPermutation(count, seed, round, k, pass) : (index: number) => index;
  return takeRows(
    train,
    Array.from({ length: Math.min(batchSize, count - place) }, (_, i) => order(place + i)),
  );
}

/** A share of the clients up to 1, a count from 2 on, or the clients of each round (from 0) by number. */
export type Participation = number | ((round: number) => readonly number[]);

/** Numbers of the clients of a round, ascending. Throws for 0, more than there are, and numbers that no client has. */
export function participantsOf(participation: Participation, count: number, round: number, seed: number): number[] {
  if (typeof participation === "function") return checkNumbers(participation(round), count, round);
  const isShare = participation > 0 && participation <= 1;
  if (!isShare && !(Number.isInteger(participation) && participation > 1 && participation <= count))
    fail(
      "argument",
      `federated: expected a participation above 0 and up to 1, or a count from 2 to the ${count} clients, got ${participation}`,
    );
  const chosen = isShare ? Math.max(1, Math.round(participation * count)) : participation;
  const order = keyedPermutation(count, seed, round);
  return Array.from({ length: chosen }, (_, i) => order(i)).sort((a, b) => a - b);
}

function checkNumbers(numbers: readonly number[], count: number, round: number): number[] {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  const isGood = (k: number) => Number.isInteger(k) && k >= 0 && k < count;
  if (sorted.length === 0 || sorted.length < numbers.length || !sorted.every(isGood))
    fail(
      "argument",
      `federated: expected the participants of round ${round} to be different numbers from 0 to ${count - 1}, got [${numbers.join(", ")}]`,
    );
  return sorted;
}
