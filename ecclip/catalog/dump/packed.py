"""Recognise archives, spreadsheets and databases by their first bytes, whatever their names, and refuse them."""

from __future__ import annotations

from ecclip.core import ContractError

# no text begins with any of these
_STARTS = {
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\x1f\x8b": "gzip, once more or without .gz in its name",
    b"\xfd7zXZ\x00": "xz",
    b"\x04\x22\x4d\x18": "LZ4",
    b"\xff\x06\x00\x00sNaPpY": "Snappy",
    b"PK\x03\x04": "a zip archive (a spreadsheet is one)",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a document of an old office suite",
    b"PAR1\x15": "Parquet",
    b"ARROW1\x00\x00": "Arrow",
    b"Obj\x01": "Avro",
    b"SQLite format 3\x00": "a SQLite database",
}
_BZIP2, _BZIP2_BLOCK = b"BZh", b"1AY&SY"  # between the two: a digit
_TAR, _TAR_AT = b"ustar", 257  # magic number and its offset (POSIX.1-1988)


def refuse_packed(sample: bytes) -> None:
    """Raise ContractError where the beginning of a text file, unpacked as its name says, is that of no text."""
    found = next((name for start, name in _STARTS.items() if sample.startswith(start)), None)
    if sample.startswith(_BZIP2) and sample[4:10] == _BZIP2_BLOCK:
        found = "bzip2"
    if sample[_TAR_AT:].startswith(_TAR):
        found = "a tar archive"
    if found is not None:
        raise ContractError(
            "the file is not text",
            value=found,
            limit="text, text packed by gzip (.gz), or Parquet (.parquet)",
            next_step="have the shop write it as one of these",
        )
