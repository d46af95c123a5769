#!/usr/bin/env python3
"""Small Parquet files, one for each codec and page version, from Arrow.

Writes test/golden/parquet/<codec>-<version>.parquet and records.json: the rows that every file holds. Two row groups; a
chat (a list of structs), text with umlauts and nulls, 64-bit integers within and beyond 2^53, a date, a boolean.

Needs pyarrow. Run:  python3 scripts/reference/parquet.py
"""

import datetime
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = Path(__file__).resolve().parents[2] / "test/golden/parquet"
CODECS = ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]


def row(i):
    return {
        "messages": [
            {"role": "user", "content": f"Größe {i}?" * (1 + i % 3)},
            {"role": "assistant", "content": "ja" * (i % 5)},
        ][: 2 if i % 7 else 0],
        "text": None if i % 4 == 3 else f"Zeile {i} 🙂",
        "number": i if i % 2 else 2**60 + i,
        "day": datetime.datetime(2026, 1, 1 + i % 28),
        "flag": i % 3 == 0,
    }


def expected(record):
    number = record["number"]
    return {
        **record,
        "number": number if abs(number) < 2**53 else str(number),
        "day": record["day"].strftime("%Y-%m-%dT00:00:00.000Z"),
    }


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = [row(i) for i in range(40)]
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema(
        [
            ("messages", pa.list_(message)),
            ("text", pa.string()),
            ("number", pa.int64()),
            ("day", pa.timestamp("us")),
            ("flag", pa.bool_()),
        ]
    )
    table = pa.Table.from_pylist(rows, schema=schema)
    for codec in CODECS:
        for version in ["1.0", "2.0"]:
            path = FOLDER / f"{codec}-{version[0]}.parquet"
            pq.write_table(
                table, path, compression=codec, data_page_version=version, row_group_size=25, store_schema=False
            )
    deltas = {"text": "DELTA_LENGTH_BYTE_ARRAY", "number": "DELTA_BINARY_PACKED", "flag": "RLE"}
    pq.write_table(
        table,
        FOLDER / "delta.parquet",
        compression="none",
        use_dictionary=False,
        column_encoding=deltas,
        row_group_size=25,
        store_schema=False,
    )
    (FOLDER / "records.json").write_text(json.dumps([expected(r) for r in rows], ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
