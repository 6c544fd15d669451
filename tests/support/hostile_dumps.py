"""Random dumps of good and hostile rows in every format."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hostile_rows import CELLS, LINES, csv_text, plain


def random_dump(folder: Path, chance: random.Random, files: int | None = None) -> tuple[Path, set[str], Counter[str]]:
    """Write a dump of ``files`` files, or a few, in random formats with random hostile rows.

    Returns:
        The folder, the ids that must be published, and how many rows must be refused for which reason.
    """
    folder.mkdir()
    good: set[str] = set()
    bad: Counter[str] = Counter()
    for number in range(files or chance.randrange(1, 4)):
        kind = chance.choice(["jsonl", "jsonl.gz", "json", "csv", "tsv", "parquet"])
        names = chance.sample(sorted(CELLS), 4)
        cells = [plain(f"f{number}-{name}", **CELLS[name][0]) for name in names]
        rows = [plain(f"f{number}-good{n}", attributes={"n": str(n), "": "x"}) for n in range(chance.randrange(1, 9))]
        good |= {row["listing_id"] for row in rows} | {f"f{number}-{name}" for name in names if not CELLS[name][1]}
        bad.update(reason for name in names if (reason := CELLS[name][1]))
        mixed = rows + cells
        chance.shuffle(mixed)
        bad.update(LINES[line] for line in _write(folder / f"listings-{number}.{kind}", kind, mixed, chance))
    (folder / "_SUCCESS").touch()
    return folder, good, bad


def _write(path: Path, kind: str, rows: list[dict[str, Any]], chance: random.Random) -> list[str]:
    """Write the rows, in JSON lines with hostile lines between them; return these."""
    lines: list[str] = [json.dumps(row) for row in rows]
    hostile: list[str] = []
    if kind.startswith("jsonl"):
        hostile = lines[1:1] = chance.sample(sorted(LINES), 3)
        data = "\n".join(lines).encode()
        path.write_bytes(gzip.compress(data) if kind.endswith("gz") else data)
    elif kind == "json":
        path.write_text("[" + ",".join(lines) + "]")
    elif kind == "parquet":
        texts = [
            {name: json.dumps(cell) if isinstance(cell, list | dict) else str(cell) for name, cell in row.items()}
            for row in rows
        ]
        names = dict.fromkeys(name for row in texts for name in row)
        pq.write_table(pa.Table.from_pylist(texts, pa.schema([(name, pa.string()) for name in names])), path)
    else:
        texts = [
            {name: json.dumps(cell) if isinstance(cell, dict) else cell for name, cell in row.items()} for row in rows
        ]
        text = csv_text(texts, "\t" if kind == "tsv" else ",")
        path.write_text(text, newline="")
    return hostile
