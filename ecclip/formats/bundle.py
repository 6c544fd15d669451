"""A bundle: towers, heads, graphs, report and golden listings of a night, promoted and deployed as one.

Its name is its digest and its files never change. ``bundle.json`` describes it and what it was made from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ecclip.formats.documents import UNNAMED, read_document, write_document
from ecclip.formats.report import TaskReport, read_report, write_report

HalfPrecision = Literal["float16", "bfloat16"]
Precision = Literal["float32", HalfPrecision]
SCHEMA = "ecclip.bundle/4"
# name metrics and lineage as now, so that the gate can compare with them; this entry model cannot serve their code
_OLDER = ("ecclip.bundle/1", "ecclip.bundle/2", "ecclip.bundle/3")
LINEAGE_DIGITS = 16  # hexadecimal, 64 bits: a collision among a shop's bundles is practically impossible
TOWERS = "towers"
HEADS = "heads"
_HEADS_FILE = "heads.json"
_HEADS_SCHEMA = "ecclip.heads/1"
REPORT = "report.json"
REPORT_PAGE = "report.html"
EVIDENCE = "evidence.npz"
TOKENIZER = "tokenizer.json"
DESCRIPTION = "bundle.json"
FLAVOUR = "ecclip_bundle"  # module of its code by which MLflow loads it
LIBRARIES = "libraries.zip"  # in its code: the pure Python ones by which its titles are cleaned
_NEXT_STEP = "run export of its night again"


def write_heads(folder: Path, content: dict[str, Any]) -> None:
    """Write what describes heads: dimension, tasks with labels, thresholds."""
    write_document(folder / _HEADS_FILE, _HEADS_SCHEMA, content)


def read_heads(folder: Path, next_step: str = "run evaluate again") -> dict[str, Any]:
    """Return what :func:`write_heads` wrote; heads of a champion may be from before their schema had a name.

    Raises:
        ContractError: they have a schema that this code does not know.
        IntegrityError: they cannot be read.
    """
    return read_document(folder / _HEADS_FILE, _HEADS_SCHEMA, next_step, (UNNAMED,))


def lineage_of(digest: str) -> str:
    """Return the lineage id of a bundle digest, which every answer carries: its first 16 hex digits."""
    return digest[:LINEAGE_DIGITS]


@dataclass(frozen=True)
class Bundle:
    """The files of a bundle by name; nothing is read until it is requested."""

    folder: Path

    @property
    def towers(self) -> Path:
        """The folder of both towers, their preprocessing and tokenizer."""
        return self.folder / TOWERS

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's file, which the server reads."""
        return self.towers / TOKENIZER

    @property
    def heads(self) -> Path:
        """The folder of the heads."""
        return self.folder / HEADS

    @property
    def evidence(self) -> Path:
        """Embeddings and true labels of test listings, from which the report can be recomputed."""
        return self.folder / EVIDENCE

    @property
    def golden(self) -> Path:
        """The golden listings with their answers."""
        return self.folder / "golden" / "golden.parquet"

    @property
    def code(self) -> Path:
        """The folder of the preprocessing and decision code, as it was when the bundle was made."""
        return self.folder / "code"

    @property
    def libraries(self) -> Path:
        """The archive of libraries that the code imports; a place of ``sys.path``."""
        return self.code / LIBRARIES

    @property
    def known_question(self) -> Path:
        """The known-answer test of the entry model: a request with its pixels, tokens and decision."""
        return self.folder / "known" / "product.json"

    def graph(self, name: str, precision: str = "float32") -> Path:
        """Return the file of an ONNX graph; towers may be there in half precision as well."""
        suffix = "" if precision == "float32" else f".{precision}"
        return self.folder / "onnx" / f"{name}{suffix}.onnx"

    def known_answer(self, name: str) -> Path:
        """Return the file with inputs of a graph and torch's outputs for them."""
        return self.folder / "known" / f"{name}.npz"

    def write_description(self, content: dict[str, Any]) -> None:
        """Write the description: sizes, labels, lineage, metrics, tolerances."""
        write_document(self.folder / DESCRIPTION, SCHEMA, content)

    def description(self) -> dict[str, Any]:
        """Return what :meth:`write_description` wrote.

        Raises:
            ContractError: the bundle has a schema that this code does not know.
            IntegrityError: it cannot be read.
        """
        return read_document(self.folder / DESCRIPTION, SCHEMA, _NEXT_STEP, _OLDER)

    def lineage(self) -> dict[str, str]:
        """Return what the bundle was made from: digests of snapshot, train, towers, embed, evaluate; commit and night.

        Raises:
            ContractError: the bundle has a schema that this code does not know.
            IntegrityError: it cannot be read.
        """
        return dict(self.description().get("lineage") or {})

    def metrics(self) -> dict[str, float]:
        """Return the metrics that the bundle claims, by their names in the report.

        Raises:
            ContractError: the bundle has a schema that this code does not know.
            IntegrityError: it cannot be read.
        """
        return {name: float(value) for name, value in (self.description().get("metrics") or {}).items()}

    def write_report(self, report: TaskReport) -> None:
        """Write the report of the tasks."""
        write_report(report, self.folder / REPORT)

    def report(self) -> TaskReport:
        """Return the report of the tasks.

        Raises:
            ContractError: the report has a schema that this code does not know.
            IntegrityError: it cannot be read; names file and field.
        """
        return read_report(self.folder / REPORT)

    def described_heads(self) -> dict[str, Any]:
        """Return dimension, tasks with labels, and thresholds.

        Raises:
            ContractError: the heads have a schema that this code does not know.
            IntegrityError: they cannot be read.
        """
        return read_heads(self.heads, _NEXT_STEP)
