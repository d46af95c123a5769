import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { CsvError, parse } from "csv-parse";
import { fail, LayerwiseError } from "../tensor/errors.js";
import type { Listed } from "./list-files.js";
import { failRecord, linesOf, maxLineBytes } from "./record-lines.js";
import type { DataRecord, LocatedRecord } from "./records.js";

type Row = { record: string[]; info: { lines: number } };

/** Records of a CSV file with a header: RFC 4180, so quoted fields may hold line ends and doubled quotes. */
export const csvRecords = (delimiter: string) =>
  async function* (file: Listed): AsyncGenerator<LocatedRecord> {
    const { path } = file;
    const parser = parse({ delimiter, info: true, skip_empty_lines: true, max_record_size: maxLineBytes });
    // Its failure destroys the parser, whose loop below throws it.
    const feeding = pipeline(Readable.from(bytesOf(file), { objectMode: false }), parser).catch(() => undefined);
    let header: readonly string[] | undefined;
    try {
      for await (const { record: fields, info } of parser as AsyncIterable<Row>) {
        const place = `${path}, line ${info.lines}`;
        if (header) yield { record: objectOf(header, fields), place };
        else header = checkedHeader(fields, place);
      }
    } catch (error) {
      failCsv(path, error);
    } finally {
      parser.destroy();
      await feeding;
    }
  };

async function* bytesOf(file: Listed): AsyncGenerator<Uint8Array> {
  for await (const lines of linesOf(file)) yield Buffer.concat(lines.map(({ bytes }) => bytes));
}

const objectOf = (header: readonly string[], fields: readonly string[]): DataRecord =>
  Object.fromEntries(header.map((name, i) => [name, fields[i]]));

function checkedHeader(names: readonly string[], place: string): readonly string[] {
  names.forEach((name, i) => {
    const column = `${place}, column ${i + 1}`;
    if (name === "__proto__") fail("file", `${column}: the name "__proto__" is not allowed`);
    if (name.trim() === "") fail("file", `${column}: expected a name; the first line names the columns`);
    if (names.indexOf(name) !== i) fail("file", `${column}: "${name}" names two columns`);
  });
  return names;
}

const problems: Readonly<Record<string, string>> = {
  CSV_QUOTE_NOT_CLOSED: "a quote is opened and never closed",
  CSV_INVALID_CLOSING_QUOTE: "a quote ends in the middle of a field; a quote inside a quoted field is doubled",
  INVALID_OPENING_QUOTE: "a quote in a field that does not begin with one; quote the whole field",
  CSV_MAX_RECORD_SIZE: `a record of more than ${maxLineBytes} bytes; is a quote left open?`,
};

function failCsv(path: string, error: unknown): never {
  if (error instanceof LayerwiseError || !(error instanceof CsvError))
    return failRecord(path, "cannot be read as CSV", error);
  const { lines, column, code } = error as CsvError & { lines?: number; column?: number | string };
  const place = `${path}, line ${lines ?? "?"}${typeof column === "number" ? `, column ${column + 1}` : ""}`;
  const problem = problems[code] ?? error.message;
  return fail("file", `${place}: ${problem}`, { cause: error });
}
