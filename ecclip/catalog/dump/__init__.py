"""The dump contract and the row model: which fields a listing has, and how rows of any format become typed cells."""

__all__ = [
    "cells",
    "contract",
    "csv_records",
    "listing_files",
    "money",
    "parquet_records",
    "quarantine",
    "record",
    "rows",
]
