"""Parquet files of which nobody knows who wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_MOST_GROWTH = 64  # times the file's size; manifests and score tables grow tenfold at most
_SMALL = 16 << 20  # bytes that any table may take


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Reads a table of plain columns, checked to the last byte.

    A few kB can repeat a value a billion times: texts stay as they are stored until their size is known.

    Args:
        path: of the file.
        columns: those wanted; None takes all.

    Raises:
        OSError: the file is missing or damaged.
        pa.ArrowException: it is no parquet file, or its values are none of their types.
        ValueError: it holds tables within tables, or grows beyond measure.
    """
    with pq.ParquetFile(path, memory_map=True) as file:
        wanted = [field for field in file.schema_arrow if columns is None or field.name in columns]
        rows = file.metadata.num_rows
    if strange := [field.name for field in wanted if not _is_plain(field.type)]:
        raise ValueError(f"column {strange[0]} is neither text nor number")
    most = _SMALL + _MOST_GROWTH * path.stat().st_size
    texts = [field.name for field in wanted if _is_text(field.type)]
    _check_size(rows * sum(4 if field.name in texts else 8 for field in wanted), most)
    table = pq.read_table(
        path,
        columns=[field.name for field in wanted],
        read_dictionary=texts,
        memory_map=True,
        page_checksum_verification=True,
    )
    table.validate(full=True)
    _check_size(sum(_text_size(table[name]) for name in texts), most)
    return table.cast(pa.schema(wanted, metadata=table.schema.metadata))


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_plain(kind: pa.DataType) -> bool:
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return bool(number or _is_text(kind) or pa.types.is_null(kind))


def _text_size(column: pa.ChunkedArray) -> int:
    """Bytes of a column of texts once each stands where it is used."""
    parts = (pc.sum(pc.take(pc.binary_length(part.dictionary), part.indices)).as_py() for part in column.chunks)
    return sum(part or 0 for part in parts)


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise ValueError(f"its rows take {size:,} bytes, far more than the file")
