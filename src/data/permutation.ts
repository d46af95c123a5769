/**
 * A shuffle that is computed, not stored: a Feistel network, a bijection on [0, 2^2h) whatever its round function, with
 * cycle walking down to [0, count). Any position of any epoch is found directly, so a run restarts anywhere for free.
 *
 *   (L, R) <- (R, L xor F(R, key_round)), six rounds
 *
 * Source: How to Construct Pseudorandom Permutations from Pseudorandom Functions (Luby, Rackoff 1988); cycle walking:
 * Ciphers with Arbitrary Finite Domains (Black, Rogaway 2002).
 */
export function keyedPermutation(count: number, ...key: readonly number[]): (index: number) => number {
  const half = Math.max(1, Math.ceil(Math.log2(Math.max(2, count)) / 2));
  const side = 2 ** half;
  const rounds = Array.from({ length: 6 }, (_, round) => hash32(...key, round));
  const once = (index: number): number => {
    let left = Math.floor(index / side);
    let right = index % side;
    for (const round of rounds) {
      const next = left ^ (mix(right ^ round) & (side - 1));
      left = right;
      right = next;
    }
    return left * side + right;
  };
  // The domain is less than four times `count`, so a walk is short; it ends because `once` is a bijection.
  return (index) => {
    let place = once(index);
    while (place >= count) place = once(place);
    return place;
  };
}

/** Numbers -> 32 well-mixed bits (as a signed integer). Safe integers keep all their bits. */
export function hash32(...values: readonly number[]): number {
  let state = 0x9e3779b9 | 0;
  for (const value of values) {
    state = mix(state ^ (value | 0));
    state = mix((state + 0x7f4a7c15) ^ Math.floor(value / 2 ** 32));
  }
  return state;
}

/** MurmurHash3's 32-bit finaliser. */
function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
