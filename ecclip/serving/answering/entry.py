"""What a bundle says of itself to those who answer with it: ``entry.json`` of the entry model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ecclip.formats.bundle import Bundle
from ecclip.formats.service import IMAGE_BYTES, TEXT_BYTES
from ecclip.product_input import DEFINITION


def entry_of(bundle: Path, lineage: str) -> dict[str, Any]:
    """Return sizes, heads with thresholds, limits of a listing, and how photos and titles are read.

    Raises:
        ContractError: the bundle has a schema that this code does not know.
        IntegrityError: a part of it cannot be read.
    """
    described = Bundle(bundle).description()
    return {
        "embedding_dim": described["embedding_dim"],
        "image_size": described["image_size"],
        "max_tokens": described["max_tokens"],
        "reading": described.get("reading", {}),
        "top_k": described["top_k"],
        "heads": Bundle(bundle).described_heads(),
        "image_bytes": IMAGE_BYTES,
        "text_bytes": TEXT_BYTES,
        "lineage": lineage,
        "product_input": json.loads((bundle / DEFINITION).read_text()),
    }
