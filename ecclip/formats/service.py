"""The contract of the service: every tensor that goes in and comes out, declared once.

``config.pbtxt``, the client, the MLflow signature, the tables of docs/service.md and the response of the entry model
follow from it. Needs numpy (1.26 or 2) and the standard library only; the file travels in the bundle.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

__all__ = [
    "EXAMPLE",
    "IMAGE_BYTES",
    "INPUTS",
    "LANGUAGE_BYTES",
    "MAX_BATCH",
    "OUTPUTS",
    "TEXT_BYTES",
    "VARIES",
    "Tensor",
    "decode",
    "encode",
    "markdown",
    "triton_config",
    "unpadded",
]

VARIES = -1  # elements per listing: as many as there are
MAX_BATCH = 32  # products per request; the server batches requests itself
IMAGE_BYTES = 8 * 1024 * 1024  # of a photo as the shop has it; by judgment
LANGUAGE_BYTES = 64  # of a language's tag; the longest registered ones have half of it
TEXT_BYTES = 64 * 1024  # of a title, and of a description; far above any title; by judgment


@dataclass(frozen=True)
class Tensor:
    """One input or output: ``size`` elements per listing, of Triton's ``datatype``, each holding ``content``.

    An ``optional`` input may be left out. ``aligned_with`` names the output whose elements this one's belong to. Of a
    ``ranked`` output the first element is the answer; rounding may swap those after it.
    """

    name: str
    datatype: Literal["BYTES", "FP32"]
    size: int
    content: Literal["binary", "text", "json", "number"]
    meaning: str
    optional: bool = False
    aligned_with: str = ""
    ranked: bool = False


INPUTS = (
    Tensor(
        "IMAGE", "BYTES", 1, "binary",
        "JPEG, PNG, WebP, GIF, BMP or AVIF, one frame, at least 16 pixels per side, at most 16 megapixels and 8 MiB; "
        "empty: none",
    ),
    Tensor("TITLE", "BYTES", 1, "text", "UTF-8, at most 64 KiB; empty: none; an image or a title must be there"),
    Tensor(
        "DESCRIPTION", "BYTES", 1, "text",
        "UTF-8, at most 64 KiB; open values of attributes are read from it", optional=True,
    ),
    Tensor(
        "LANGUAGE", "BYTES", 1, "text",
        "tag of the language that names of categories, and of options that a file names, are asked for in, such as "
        "`ko` or `pt-BR`; empty, or one that the taxonomy lacks: its first language",
        optional=True,
    ),
)  # fmt: skip
OUTPUTS = (
    Tensor(
        "CATEGORY", "BYTES", VARIES, "json",
        "paths root to leaf: the answer, which may end above a leaf where that alone is certain, then the best leaves; "
        "unknown: empty",
        ranked=True,
    ),
    Tensor(
        "CATEGORY_SCORE", "FP32", VARIES, "number", "calibrated; unknown: NaN", aligned_with="CATEGORY", ranked=True,
    ),
    Tensor(
        "CATEGORY_ID", "BYTES", VARIES, "text", "the taxonomy's ids; empty without a taxonomy",
        aligned_with="CATEGORY", ranked=True,
    ),
    Tensor(
        "CATEGORY_SUGGESTED", "BYTES", VARIES, "json",
        "`path`, `id`, `score`, `zero_shot` and `decision` (`review`) of categories of the taxonomy without examples, "
        "where the listing lies nearer to their names than to those of all learnt ones; nearest first; none: empty",
        ranked=True,
    ),
    Tensor(
        "ATTRIBUTES", "BYTES", 1, "json",
        "name → value, score, of what applies to the category; `source` of a value that was read in the `title` or the "
        "`description`; `zero_shot` where nothing was learnt: the nearest of options that a file names, its score no "
        "probability; value null: not present; unknown: score null, too",
    ),
    Tensor(
        "AGE_RESTRICTED", "BYTES", 1, "json",
        "`restricted`: any class with labels at or above its operating point (null: none is known); the `classes` that "
        "say so, zero-shot ones that are `suspected`, and the largest `minimum_age` of `classes`",
    ),
    Tensor("AGE_RESTRICTED_SCORE", "FP32", 1, "number", "largest of the classes with labels, calibrated; unknown: NaN"),
    Tensor("AGE_CLASS", "BYTES", VARIES, "text", "the dump's flag (`age_restricted`), and the classes of the policy"),
    Tensor(
        "AGE_CLASS_SCORE", "FP32", VARIES, "number",
        "calibrated; unknown: NaN; of a zero-shot class 0.5 at its operating point, and no probability",
        aligned_with="AGE_CLASS",
    ),
    Tensor("AGE_CLASS_BASIS", "BYTES", VARIES, "text", "`labels`, `zero_shot` or `unknown`", aligned_with="AGE_CLASS"),
    Tensor("OTHER_TASKS", "BYTES", 1, "json", "task → value, score, for tasks of your own; unknown: both null"),
    Tensor(
        "DECISION", "BYTES", 1, "json",
        "head → `auto` (at the promised precision, as proven on held-out listings), `review` or `unknown`; what "
        "was not learnt from labels is never `auto`",
    ),
    Tensor("EMBEDDING", "FP32", VARIES, "number", "length 1"),
    Tensor("LINEAGE", "BYTES", 1, "text", "leads back to bundle, run, snapshot, commit: `ecclip registry trace <id>`"),
    Tensor("ERROR", "BYTES", 1, "text", "empty: none; a bad listing never affects the others of its batch"),
)  # fmt: skip

# one listing by the inputs' names, for who wants to see that something answers: PNG, 64 x 64 pixels, a ramp of grey
EXAMPLE: dict[str, Any] = {
    "IMAGE": base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAAcklEQVR42mNgYOHgERCRkFFQ0dAxMLGwcXDx8AkIiYhJSMnIKSipqGlo6eiZMGXGnAVL"
        "VqzZsGXHngNHTpy5cOXGnQdPXrz58OXHH4ZRA0YNGDVg1IBRA0YNGDVg1IBRA0YNGDVg1IBRA0YNGDVguBsAAHs24GqR2oMfAAAAAElFTkSuQmCC"
    ),
    "TITLE": "ceramic mug, 500 ml",
    "DESCRIPTION": "A mug of stoneware.",
    "LANGUAGE": "en",
}


def encode(tensor: Tensor, values: Sequence[Any]) -> np.ndarray:
    """Return one column of a response [N, size]: ``values`` [N] of the listings, None where there is none.

    An output of variable size is as wide as its longest row; shorter ones are padded with NaN or empty bytes.
    """
    rows = [_elements(tensor, value) for value in values]
    width = tensor.size if tensor.size != VARIES else max([1, *map(len, rows)])
    if tensor.datatype == "FP32":
        numbers = np.full((len(rows), width), np.nan, np.float32)
        for place, row in enumerate(rows):
            numbers[place, : len(row)] = [np.nan if one is None else one for one in row]
        return numbers
    blank = b"{}" if tensor.content == "json" and tensor.size == 1 else b""
    texts = np.full((len(rows), width), blank, dtype=np.object_)
    for place, row in enumerate(rows):
        texts[place, : len(row)] = [_bytes(tensor, one) for one in row]
    return texts


def unpadded(tensor: Tensor, value: Any) -> Any:
    """Return one listing's elements as :func:`encode` writes them, without padding: text or number, or a list of them.

    ``value`` is None where there is none: NaN, empty text, an empty JSON object, or no elements.
    """
    column = encode(tensor, [value])[0]
    elements = [one.decode() if isinstance(one, bytes) else float(one) for one in column]
    return elements[0] if tensor.size == 1 else elements[: len(_elements(tensor, value))]


def decode(columns: Mapping[str, np.ndarray], row: int) -> dict[str, Any]:
    """Return one listing's outputs by name from the columns [N, size] of a response: the inverse of :func:`encode`.

    NaN becomes None; a numeric output of variable size that is aligned with no other one is an array. Outputs that an
    older server does not have are left out.
    """
    found: dict[str, Any] = {}
    for tensor in (one for one in OUTPUTS if one.name in columns):
        cells = columns[tensor.name][row]
        if tensor.datatype == "FP32" and tensor.size == VARIES and not tensor.aligned_with:
            found[tensor.name] = np.array(cells, np.float32)
            continue
        if tensor.datatype == "FP32":
            values: list[Any] = [None if np.isnan(one) else float(one) for one in cells]
            values = values[: len(found[tensor.aligned_with])] if tensor.aligned_with else values
        else:
            values = [_value(tensor, one) for one in cells if one or tensor.size == 1]
        found[tensor.name] = values[0] if tensor.size == 1 else values
    return found


def triton_config(tensors: Sequence[Tensor]) -> str:
    """Return the entries of ``input`` or ``output`` in a config.pbtxt."""
    kinds = {"BYTES": "TYPE_STRING", "FP32": "TYPE_FP32"}
    lines = [
        f'  {{ name: "{one.name}" data_type: {kinds[one.datatype]} dims: [ {one.size} ]'
        f"{' optional: true' if one.optional else ''} }}"
        for one in tensors
    ]
    return ",\n".join(lines)


def markdown(tensors: Sequence[Tensor]) -> str:
    """Return the table of docs/service.md."""
    kind = "input" if tensors[0].name == INPUTS[0].name else "output"
    lines = [f"| {kind} | type | |", "|---|---|---|"]
    for one in tensors:
        size = "n" if one.size == VARIES else one.size
        content = "JSON: " if one.content == "json" else ""
        optional = "optional; " if one.optional else ""
        aligned = f"of each `{one.aligned_with}`; " if one.aligned_with else ""
        lines.append(f"| `{one.name}` | {one.datatype} [{size}] | {optional}{aligned}{content}{one.meaning} |")
    return "\n".join(lines)


def _elements(tensor: Tensor, value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return (value,) if tensor.size == 1 else value


def _bytes(tensor: Tensor, value: Any) -> bytes:
    if tensor.content == "json":
        return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    return str(value).encode()


def _value(tensor: Tensor, cell: bytes) -> Any:
    return json.loads(cell) if tensor.content == "json" else cell.decode()
