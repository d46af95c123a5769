/**
 * Counter-based random numbers: Philox 4x32-10 (Parallel Random Numbers: As Easy as 1, 2, 3; 2011). A number depends
 * on (seed, site, step, index) alone, so runs repeat, resume and agree between backends, in any order.
 */

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** The high 32 bits of a product of two unsigned 32-bit numbers. No sum here exceeds 32 bits, so all stay integers. */
function mulHigh(a: number, b: number): number {
  const ah = a >>> 16;
  const al = a & 0xffff;
  const bh = b >>> 16;
  const bl = b & 0xffff;
  const middle = (Math.imul(ah, bl) + (Math.imul(al, bl) >>> 16)) | 0;
  const carry = ((middle & 0xffff) + Math.imul(al, bh)) | 0;
  return (Math.imul(ah, bh) + (middle >>> 16) + (carry >>> 16)) | 0;
}

/** One block: four 32-bit words from a 128-bit counter and a 64-bit key, into `out`. */
export function philox(c0: number, c1: number, c2: number, c3: number, k0: number, k1: number, out: Uint32Array): void {
  let [x0, x1, x2, x3, key0, key1] = [c0, c1, c2, c3, k0, k1];
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(M0, x0);
    const high1 = mulHigh(M1, x2);
    const low0 = Math.imul(M0, x0);
    const low1 = Math.imul(M1, x2);
    x0 = high1 ^ x1 ^ key0;
    x1 = low1;
    x2 = high0 ^ x3 ^ key1;
    x3 = low0;
    key0 = (key0 + W0) | 0;
    key1 = (key1 + W1) | 0;
  }
  out[0] = x0;
  out[1] = x1;
  out[2] = x2;
  out[3] = x3;
}

/** FNV-1a: a site's name as 32 bits. */
export function hashSite(site: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < site.length; i++) hash = Math.imul(hash ^ site.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

export interface Stream {
  readonly seed: number;
  readonly site: string;
  readonly step?: number;
}

/** Call `use(word, index)` with `length` random 32-bit words. */
function words({ seed, site, step = 0 }: Stream, length: number, use: (word: number, index: number) => void): void {
  const out = new Uint32Array(4);
  const key1 = hashSite(site);
  const [stepLow, stepHigh] = [step >>> 0, Math.floor(step / 2 ** 32) ^ Math.floor(seed / 2 ** 32)];
  for (let i = 0; i < length; i += 4) {
    philox(i / 4, stepLow, stepHigh, 0, seed >>> 0, key1, out);
    for (let j = 0; j < 4 && i + j < length; j++) use(out[j] as number, i + j);
  }
}

/** Uniform in [0, 1), 24 bits: every value is exact in float32. */
export function philoxUniform(stream: Stream, length: number): Float32Array {
  const result = new Float32Array(length);
  words(stream, length, (word, i) => {
    result[i] = (word >>> 8) * 2 ** -24;
  });
  return result;
}

/** Standard normal, by Box and Muller's transform. */
export function philoxNormal(stream: Stream, length: number): Float32Array {
  const result = new Float32Array(length);
  let radius = 0;
  words(stream, length + (length % 2), (word, i) => {
    if (i % 2 === 0) {
      radius = Math.sqrt(-2 * Math.log(((word >>> 0) + 0.5) * 2 ** -32));
      return;
    }
    const angle = 2 * Math.PI * (word >>> 0) * 2 ** -32;
    result[i - 1] = radius * Math.cos(angle);
    if (i < length) result[i] = radius * Math.sin(angle);
  });
  return result;
}

/** 1 with probability p, else 0. */
export function philoxBernoulli(stream: Stream, length: number, p: number): Float32Array {
  const result = new Float32Array(length);
  const threshold = p * 2 ** 32;
  words(stream, length, (word, i) => {
    result[i] = word < threshold ? 1 : 0;
  });
  return result;
}
