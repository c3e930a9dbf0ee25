"""Labels a corpus on many machines: each file is a task, to which the model travels.

python docs/examples/label_corpus.py corpus/*.parquet -o labelled/ -m home --scheduler tcp://host:8786
"""

from __future__ import annotations

import argparse
import itertools
import pickle
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
from dask.distributed import Client, as_completed

import edgebert
from edgebert.files import replacing

BATCH = 4096  # texts that a worker holds at a time
ADDED = (pa.field("label", pa.string()), pa.field("score", pa.float32()))


def label_file(source: Path, target: Path, model: edgebert.Model, column: str) -> int:
    """Copy a file with the columns label and score added; return how many rows it has.

    Args:
        source: .parquet, or .tsv: a header line, fields without quotes.
        target: of either suffix; it will be whole or not there.
        model: any with labels.
        column: holds the texts; one that is missing counts as empty.
    """
    schema, batches = read(source)
    if column not in schema.names or {"label", "score"} & set(schema.names):
        raise edgebert.DataError(
            f"{source}: has the columns {', '.join(schema.names)}: --column names that of the "
            "texts, and label and score must be free"
        )
    for field in ADDED:
        schema = schema.append(field)
    rows = 0

    def labelled() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in batches:
            results = model.infer([text or "" for text in batch.column(column).to_pylist()])
            values = [result.label for result in results], [result.score for result in results]
            added = [pa.array(v, f.type) for v, f in zip(values, ADDED, strict=True)]
            rows += len(results)
            yield pa.RecordBatch.from_arrays([*batch.columns, *added], schema=schema)

    with replacing(target) as temporary:
        write(labelled(), schema, temporary, target.suffix)
    return rows


def read(path: Path) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    """The columns of a file, and its rows, BATCH at a time."""
    if path.suffix == ".parquet":
        file = pyarrow.parquet.ParquetFile(path)
        return file.schema_arrow, file.iter_batches(BATCH)
    lines = (line.rstrip("\r\n").split("\t") for line in path.open(encoding="utf-8", newline="\n"))
    schema = pa.schema([(name, pa.string()) for name in next(lines)])

    def batches() -> Iterator[pa.RecordBatch]:
        while rows := list(itertools.islice(lines, BATCH)):
            if any(len(row) != len(schema) for row in rows):
                raise edgebert.DataError(f"{path}: has lines with more or fewer fields than line 1")
            columns = [pa.array(column) for column in zip(*rows, strict=True)]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return schema, batches()


def write(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, suffix: str) -> None:
    """Write rows as .parquet, or as .tsv: there, tabs and line ends of a text become spaces."""
    if suffix == ".parquet":
        with pyarrow.parquet.ParquetWriter(path, schema) as file:
            for batch in batches:
                file.write_batch(batch)
        return
    with path.open("w", encoding="utf-8", newline="\n") as lines:
        lines.write("\t".join(schema.names) + "\n")
        for batch in batches:
            for row in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                lines.write("\t".join(map(_field, row)) + "\n")


def _field(value: Any) -> str:
    text = "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
    return text.translate({ord(c): " " for c in "\t\r\n"})


def main() -> int:
    """Label what is not labelled yet; 1 if a file failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help=".parquet or .tsv")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="DIR")
    parser.add_argument("--to", choices=("parquet", "tsv"), default="parquet")
    parser.add_argument("-m", "--model", default="sentiment", help="default: %(default)s")
    parser.add_argument("--column", default="text", help="of the texts (default: %(default)s)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of Dask (default: one, here)")
    parser.add_argument("--workers", type=int, default=2, help="if here (default: %(default)s)")
    options = parser.parse_args()
    try:
        model = edgebert.load(options.model)
    except edgebert.EdgebertError as error:
        sys.exit(str(error))
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    names = {path.resolve(): output / f"{path.stem}.{options.to}" for path in options.files}
    if len(set(names.values())) < len(names):
        sys.exit("two of the files have one name: label them into folders of their own")
    todo = {source: target for source, target in names.items() if not target.exists()}

    local = {"n_workers": options.workers, "threads_per_worker": 1, "dashboard_address": None}
    with Client(options.scheduler) if options.scheduler else Client(**local) as client:
        # A task as well: a worker that comes late, or in the place of one that died, gets it too.
        shared = client.submit(pickle.loads, pickle.dumps(model))
        columns = [[*todo], [*todo.values()]]
        futures = client.map(label_file, *columns, model=shared, column=options.column)
        sources = dict(zip(futures, todo, strict=True))
        rows, failed, workers = 0, 0, set[str]()
        for future in as_completed(futures):
            if future.status == "finished":
                rows += future.result()
                workers.update(*client.who_has([future]).values())
            else:
                failed += 1
                print(f"{sources[future]}: {future.exception()}", file=sys.stderr)
    print(
        f"{len(todo) - failed} files with {rows} texts labelled by {len(workers)} workers, "
        f"{len(names) - len(todo)} were before, {failed} failed"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
