/**
 * The server's part of federated learning: one set of values from those of several clients, and the forms in which such
 * values travel.
 *
 * Sources: "Communication-Efficient Learning of Deep Networks from Decentralized Data", 2016 (FedAvg); "FedBN: Federated
 * Learning on Non-IID Features via Local Batch Normalization", 2021.
 */
import { fail, formatShape, isFloat, NDArray, sameShape } from "../tensor/index.js";

/** Values by path, as `stateDict` gives them. */
export type Values = ReadonlyMap<string, NDArray>;

/**
 * θ = Σ (wₖ / Σ w) θₖ, summed in float64; entries that are no floats are those of the first client; paths for which `exclude`
 * is true are left out. Throws for no clients, weights that are negative, not finite or all 0, and clients whose entries
 * differ in name or shape.
 */
export function aggregate(
  states: readonly Values[],
  weights: readonly number[],
  { exclude = () => false }: { readonly exclude?: (path: string) => boolean } = {},
): Map<string, NDArray> {
  const [first] = states;
  if (!first) return fail("argument", "aggregate: got no states; at least one client must take part");
  const total = checkWeights(states, weights);
  for (const [k, state] of states.entries()) checkLike(first, state, k);
  return new Map(
    [...first]
      .filter(([path]) => !exclude(path))
      .map(([path, value]) => {
        if (!isFloat(value.dtype)) return [path, value];
        const arrays = states.map((state) => state.get(path) as NDArray);
        return [
          path,
          weightedSum(
            arrays,
            weights.map((weight) => weight / total),
          ),
        ];
      }),
  );
}

function checkWeights(states: readonly Values[], weights: readonly number[]): number {
  if (weights.length !== states.length)
    fail("argument", `aggregate: ${weights.length} weights for ${states.length} states`);
  for (const [k, weight] of weights.entries())
    if (!(weight >= 0 && Number.isFinite(weight)))
      fail("argument", `aggregate: expected weights of at least 0, got ${weight} for client ${k}`);
  const total = weights.reduce((a, b) => a + b, 0);
  return total > 0 ? total : fail("argument", "aggregate: the weights are all 0; expected a positive total");
}

function checkLike(first: Values, state: Values, k: number): void {
  const odd = [...first.keys()].find((path) => !state.has(path)) ?? [...state.keys()].find((path) => !first.has(path));
  if (odd !== undefined)
    fail(
      "argument",
      `aggregate: client ${k} ${state.has(odd) ? "has" : "lacks"} "${odd}", client 0 ${first.has(odd) ? "has it" : "does not have it"}; expected the same model everywhere`,
    );
  for (const [path, { shape, dtype }] of state) {
    const expected = first.get(path) as NDArray;
    if (!sameShape(shape, expected.shape) || dtype !== expected.dtype)
      fail(
        "shape",
        `aggregate: "${path}" is ${dtype}${formatShape(shape)} at client ${k}, ${expected.dtype}${formatShape(expected.shape)} at client 0`,
      );
  }
}

function weightedSum(arrays: readonly NDArray[], shares: readonly number[]): NDArray {
  const { size, dtype, shape } = arrays[0] as NDArray;
  const sum = new Float64Array(size);
  for (const [k, array] of arrays.entries()) {
    const share = shares[k] as number;
    for (let i = 0; i < size; i++) sum[i] = (sum[i] as number) + share * array.at(i);
  }
  return NDArray.from(sum, dtype, shape);
}

/** The path of the first float entry that holds a number that is not finite. */
export function notFinite(values: Values): string | undefined {
  for (const [path, array] of values)
    if (isFloat(array.dtype)) for (let i = 0; i < array.size; i++) if (!Number.isFinite(array.at(i))) return path;
  return undefined;
}

/** Where a federated training is: plain values, to be kept and gone on from. */
export interface FederatedState {
  /** Rounds done. */
  readonly round: number;
  /** Local steps done by all clients together: the position of random streams (dropout). */
  readonly steps: number;
  readonly server: Values;
  /** What never leaves a client, by its name: batch norms in FedBN. */
  readonly local: ReadonlyMap<string, Values>;
}

const marker = "layerwise.federated";

/** For one safetensors file: `server.<path>` and `local<k>.<path>`, with counters and the clients' names in the metadata. */
export function packFederated({ round, steps, server, local }: FederatedState): {
  tensors: Map<string, NDArray>;
  metadata: Record<string, string>;
} {
  const named = [...local.values()].flatMap((values, k) => prefixed(`local${k}.`, values));
  return {
    tensors: new Map([...prefixed("server.", server), ...named]),
    metadata: { [marker]: JSON.stringify({ round, steps, clients: [...local.keys()] }) },
  };
}

/** Throws for a file that `packFederated` did not make. */
export function unpackFederated(tensors: Values, metadata: Readonly<Record<string, string>>): FederatedState {
  const { round, steps, clients } = header(metadata[marker]);
  const below = (prefix: string) =>
    new Map(
      [...tensors]
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, value]) => [name.slice(prefix.length), value]),
    );
  return {
    round,
    steps,
    server: below("server."),
    local: new Map(clients.map((name, k) => [name, below(`local${k}.`)])),
  };
}

const prefixed = (prefix: string, values: Values): [string, NDArray][] =>
  [...values].map(([path, value]) => [prefix + path, value]);

function header(text: string | undefined): { round: number; steps: number; clients: string[] } {
  const value: unknown = text === undefined ? undefined : parsed(text);
  const { round, steps, clients } = (value ?? {}) as Record<string, unknown>;
  const counts = [round, steps].every((n) => Number.isInteger(n) && (n as number) >= 0);
  if (!counts || !Array.isArray(clients) || !clients.every((name) => typeof name === "string"))
    return fail(
      "file",
      `expected "${marker}" in the metadata with round, steps and clients; was this file made by packFederated?`,
    );
  return { round: round as number, steps: steps as number, clients };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
