/** Plain text in columns, for a terminal: one character per code point. */

export interface Column {
  readonly head: string;
  /** Numbers stand flush right. */
  readonly right?: boolean;
  readonly cells: readonly string[];
}

export const widthOf = (text: string): number => [...text].length;

export const cut = (text: string, width: number): string =>
  widthOf(text) <= width
    ? text
    : `${[...text]
        .slice(0, Math.max(0, width - 1))
        .join("")
        .trimEnd()}…`;

function pad(text: string, width: number, right: boolean): string {
  const space = " ".repeat(Math.max(0, width - widthOf(text)));
  return right ? space + text : text + space;
}

const gap = "  ";
const columnWidth = ({ head, cells }: Column): number => Math.max(widthOf(head), ...cells.map(widthOf));

/** What a table of these columns takes. */
export const tableWidth = (columns: readonly Column[]): number =>
  columns.reduce((sum, column) => sum + columnWidth(column) + gap.length, -gap.length);

/** A head and a line per row; what is longer than `width` is cut. */
export function textTable(columns: readonly Column[], width: number): string[] {
  const widths = columns.map(columnWidth);
  const line = (text: (column: Column) => string): string =>
    cut(
      columns
        .map((column, i) => pad(text(column), widths[i] ?? 0, column.right ?? false))
        .join(gap)
        .trimEnd(),
      width,
    );
  const height = columns[0]?.cells.length ?? 0;
  return [
    line(({ head }) => head),
    ...Array.from({ length: height }, (_, row) => line(({ cells }) => cells[row] ?? "")),
  ];
}

/** A table of more columns than fit, as several below each other, each with the first column. */
export function foldedTable([first, ...others]: readonly Column[], width: number): string[] {
  if (first === undefined) return [];
  const groups: Column[][] = [];
  for (const column of others) {
    const group = groups.at(-1);
    if (group && tableWidth([first, ...group, column]) <= width) group.push(column);
    else groups.push([column]);
  }
  return groups.flatMap((group, i) => [...(i > 0 ? [""] : []), ...textTable([first, ...group], width)]);
}

/** Parts joined by commas, in lines of at most `width` that begin with `indent`; a part that is longer is cut. */
export function wrapParts(parts: readonly string[], width: number, indent: string): string[] {
  const lines: string[] = [];
  for (const [i, part] of parts.entries()) {
    const text = i < parts.length - 1 ? `${part},` : part;
    const last = lines.at(-1);
    if (last !== undefined && widthOf(last) + 1 + widthOf(text) <= width) lines[lines.length - 1] = `${last} ${text}`;
    else lines.push(cut(`${indent}${text}`, width));
  }
  return lines;
}
