/** What `layerwise inspect` found as JSON and CSV. */
import { type Finding, tensorStatistics } from "../inspect/index.js";

/** Numbers that JSON has not are null. */
export function asJson({ name, kind, value }: Finding, stats: boolean): unknown {
  const { dtype, shape } = value;
  const described = { name, kind, dtype, shape, statistics: tensorStatistics(value) };
  return stats ? described : { ...described, values: value.toArray() };
}

const quoted = (text: string): string => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

export function statisticsCsv(findings: readonly Finding[]): string {
  const rows = findings.map(({ name, kind, value }) => [
    quoted(name),
    kind,
    value.dtype,
    value.shape.join(" "),
    ...Object.values(tensorStatistics(value)).map(String),
  ]);
  const [first] = findings;
  const names = first ? Object.keys(tensorStatistics(first.value)) : [];
  return `${[["tensor", "kind", "dtype", "shape", ...names], ...rows].map((row) => row.join(",")).join("\n")}\n`;
}

/** The place of a value is its index on each axis, with spaces between. In pieces: no text could hold a large model. */
export function* valuesCsv(findings: readonly Finding[]): Generator<string> {
  yield "tensor,place,value\n";
  for (const { name, value } of findings) {
    const strides = value.shape.map((_, axis) => value.shape.slice(axis + 1).reduce((a, b) => a * b, 1));
    const line = (i: number): string => {
      const place = value.shape.map((length, axis) => Math.floor(i / (strides[axis] as number)) % length);
      return `${quoted(name)},${place.join(" ")},${value.at(i)}\n`;
    };
    for (let start = 0; start < value.size; start += piece)
      yield Array.from({ length: Math.min(piece, value.size - start) }, (_, i) => line(start + i)).join("");
  }
}

const piece = 4096;
