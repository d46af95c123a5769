import { keyedPermutation } from "./permutation.js";
import type { ByteSource, Span } from "./source.js";

export interface Split {
  readonly train: readonly Span[];
  readonly validation: readonly Span[];
  /** What a reader should know, where the split is not the plain one. */
  readonly notice?: string;
}

const chunkBytes = 1 << 20;

/** Cuts spans after each occurrence of `separator`, which stays with the document before it. One streaming pass. */
export async function cutDocuments(source: ByteSource, spans: readonly Span[], separator: string): Promise<Span[]> {
  const needle = new TextEncoder().encode(separator);
  const documents: Span[] = [];
  for (const span of spans) {
    let start = span.start;
    // Chunks overlap by the separator's length less one, so none is missed at a seam.
    for (let at = span.start; at < span.end; at += chunkBytes) {
      const chunk = await source.read(at, Math.min(span.end, at + chunkBytes + needle.length - 1));
      for (let found = find(chunk, needle, 0); found >= 0; found = find(chunk, needle, found + 1)) {
        if (at + found < start) continue;
        const end = at + found + needle.length;
        documents.push({ start, end });
        start = end;
      }
    }
    if (start < span.end) documents.push({ start, end: span.end });
  }
  return documents;
}

function find(bytes: Uint8Array, needle: Uint8Array, from: number): number {
  const first = needle[0] as number;
  for (let i = bytes.indexOf(first, from); i >= 0; i = bytes.indexOf(first, i + 1))
    if (needle.every((value, k) => bytes[i + k] === value)) return i;
  return -1;
}

/**
 * Whole documents go to one side: they are visited in an order keyed by `seed`, and each that still fits the
 * validation share goes there. One document alone is cut at a line's end instead, and the notice says so.
 */
export async function splitDocuments(
  source: ByteSource,
  documents: readonly Span[],
  fraction: number,
  seed: number,
): Promise<Split> {
  const only = documents[0];
  if (fraction === 0 || !only) return { train: documents, validation: [] };
  if (documents.length === 1) return cutDocument(source, only, fraction);
  const total = documents.reduce((sum, document) => sum + length(document), 0);
  const place = keyedPermutation(documents.length, seed, 0x5917);
  const chosen = new Set<number>();
  let room = total * fraction;
  for (let i = 0; i < documents.length; i++) {
    const size = length(documents[place(i)] as Span);
    if (size > room) continue;
    chosen.add(place(i));
    room -= size;
  }
  if (chosen.size > 0) return { ...sides(documents, chosen) };
  const smallest = documents.reduce(
    (best, document, i) => (length(document) < length(documents[best] as Span) ? i : best),
    0,
  );
  const share = percent(length(documents[smallest] as Span) / total);
  const notice = `no document is small enough for ${percent(fraction)} of the corpus; the smallest, ${share}, is the validation text`;
  return { ...sides(documents, new Set([smallest])), notice };
}

function sides(documents: readonly Span[], chosen: ReadonlySet<number>): Split {
  return {
    train: documents.filter((_, i) => !chosen.has(i)),
    validation: documents.filter((_, i) => chosen.has(i)),
  };
}

/** The cut is after the first line feed at or past the wanted place, or, in one long line, before the next character. */
async function cutDocument(source: ByteSource, document: Span, fraction: number): Promise<Split> {
  const wanted = document.start + Math.floor(length(document) * (1 - fraction));
  const ahead = await source.read(wanted, Math.min(document.end, wanted + 65536));
  const line = ahead.indexOf(0x0a) + 1;
  const character = ahead.findIndex((byte) => (byte & 0xc0) !== 0x80);
  const useLine = line > 0 && wanted + line < document.end;
  const cut = wanted + (useLine ? line : Math.max(0, character));
  const validation = { start: cut, end: document.end };
  const notice =
    `the corpus is one document: its last ${percent(length(validation) / length(document))}, from byte ` +
    `${cut - document.start} on, is the validation text`;
  return { train: [{ start: document.start, end: cut }], validation: [validation], notice };
}

const length = ({ start, end }: Span): number => end - start;
const percent = (share: number): string => `${Number((share * 100).toPrecision(3))}%`;
