"""What was renamed: parameters and their values, settings, commands, metrics, and modules. One table, and its page.

``ecclip renames`` prints it as docs/renames.md. An old parameter or setting is an error that says the new one.
"""

from __future__ import annotations

from ecclip.core import RENAMED_SETTINGS

_SHIFT = {
    "shift_deviations": "deviations",
    "few_nights_factor": "few_nights_factor",
    "accepted": "accepted",
    **{
        f"least_{name}": f"min_{name}"
        for name in (
            "volume_deviation",
            "share_deviation",
            "distance_deviation",
            "label_deviation",
            "label_share",
            "price_deviation",
        )
    },
}
_FETCH = (
    "allowed_schemes",
    "allow_private_networks",
    "max_image_bytes",
    "threads",
    "connections",
    "host_connections",
    "connect_s",
    "timeout_s",
    "attempts",
    "backoff_s",
    "max_redirects",
    "host_failures",
    "host_s",
    "night_s",
    "spool_bytes",
)
_PHOTO = ("image_side", "jpeg_quality", "max_pixels", "decode_s", "decode_bytes")
_BOILERPLATE = (
    "phrase_words",
    "phrase_listings",
    "phrase_categories",
    "phrase_brands",
    "phrase_facts",
    "seller_phrase_share",
    "promotion_phrase_share",
    "promotion_sellers",
    "promotion_seller_share",
    "promotion_category_share",
)
_MATCHING = {
    "match_precision": "precision",
    "match_min_pairs": "min_pairs",
    "neighbours": "neighbours",
    "max_product_size": "max_product_size",
}
_TRANSFER = ("threads", "attempts", "max_unreadable_share")
PARAMETERS = {
    "source.wait_s": "source.wait.timeout_s",
    "source.poke_s": "source.wait.poke_interval_s",
    **{f"source.{name}": f"source.transfer.{name}" for name in _TRANSFER},
    **{f"land.{name}": f"land.fetch.{name}" for name in _FETCH},
    **{f"{stage}.{old}": f"{stage}.shift.{new}" for stage in ("check", "publish") for old, new in _SHIFT.items()},
    **{f"clean.{name}": f"clean.photo.{name}" for name in _PHOTO},
    **{
        f"clean.placeholder_{name}": f"clean.placeholder.{name}"
        for name in ("listings", "sellers", "categories", "distance")
    },
    **{f"clean.{name}": f"clean.boilerplate.{name}" for name in _BOILERPLATE},
    "publish.least_agreement": "publish.mismatch.min_agreement",
    "publish.max_mismatch_share": "publish.mismatch.max_share",
    "group.bucket_cap": "group.max_block_size",
    "group.code_listings": "group.same_code.max_listings",
    "group.code_title": "group.same_code.min_title_similarity",
    "group.same_photo_title": "group.same_photo.min_title_similarity",
    "group.near_photo_distance": "group.near_photo.max_distance",
    "group.near_photo_title": "group.near_photo.min_title_similarity",
    "group.near_photo_price": "group.near_photo.max_price_ratio",
    "group.title_alone": "group.near_title.min_similarity",
    "group.facts_price": "group.same_facts.max_price_ratio",
    "group.price_ratio": "group.contradiction.max_price_ratio",
    "group.category_title": "group.contradiction.min_title_similarity",
    "group.catalog_listings": "group.catalog_id.max_listings",
    "group.group_cap": "group.max_group_size",
    "train.fine_tune_epochs": "train.fine_tune.epochs",
    "train.fine_tune_rate": "train.fine_tune.learning_rate_scale",
    "train.trainer.stream_size": "train.trainer.micro_batch_size",
    "train.trainer.stream_tokens": "train.trainer.micro_batch_tokens",
    "train.trainer.start_share": "train.trainer.weight_interpolation",
    "train.trainer.order": "train.trainer.sampler",
    "train.trainer.order.neighbour_share": "train.trainer.sampler.hard_negative_share",
    "train.trainer.optimizer.tower_rate": "train.trainer.optimizer.tower_learning_rate",
    "train.trainer.optimizer.projection_rate": "train.trainer.optimizer.projection_learning_rate",
    "train.trainer.optimizer.batch_rule": "train.trainer.optimizer.learning_rate_scaling",
    **{f"evaluate.{name}": f"evaluate.heads.{name}" for name in ("features", "regularisation", "max_iterations")},
    **{f"evaluate.calibration_{name}": f"evaluate.calibration.{name}" for name in ("min_rows", "bins")},
    **{f"evaluate.auto_{name}": f"evaluate.auto.{name}" for name in ("precision", "min_rows")},
    "evaluate.category_min_count": "evaluate.category.min_count",
    "evaluate.attribute_min_count": "evaluate.attributes.min_count",
    "evaluate.attribute_value_min_count": "evaluate.attributes.min_value_count",
    "evaluate.attribute_max_values": "evaluate.attributes.max_values",
    "evaluate.attribute_min_share": "evaluate.attributes.min_coverage",
    "evaluate.max_attributes": "evaluate.attributes.max_heads",
    **{
        f"{stage}.{old}": f"{stage}.matching.{new}"
        for stage in ("evaluate", "group_products")
        for old, new in _MATCHING.items()
    },
    **{
        f"group_products.threshold{sign}{name}": "group_products.min_probability"
        for sign in "_."
        for name in ("both", "text")
    },
    **{f"group_products.{name}": f"group_products.search.{name}" for name in ("block_rows", "exact_rows")},
    "export.tolerance": "export.tolerances.embedding",
    "export.score_tolerance": "export.tolerances.score",
    "deploy.max_latency_ms": "deploy.budget.max_latency_ms",
}
COMMANDS = {"release judge": "release gate"}  # and the task of that name in the DAG deploy_bundle
# by stage, in manifests and logs
METRICS = {
    "group: oversized_buckets": "group: oversized_blocks",
    "train: train/stream_size": "train: train/micro_batch_size",
}
# of parameters that have a list of values
VALUES = {"reference.mode: nobody": "reference.mode: none"}
# of a snapshot; `title` is what models read, with the phrases of its seller in it
COLUMNS = {"title without the phrases of its seller": "grouping_title"}
# what Python users import: a module, or module.name
MODULES = {
    "ecclip.catalog.land": "ecclip.catalog.land.stage.land",
    "ecclip.catalog.ingest": "ecclip.catalog.ingest.stage.ingest",
    "ecclip.catalog.check": "ecclip.catalog.gate.stage.check",
    "ecclip.catalog.clean": "ecclip.catalog.clean.stage.clean",
    "ecclip.catalog.group": "ecclip.catalog.group.stage.group",
    "ecclip.catalog.publish": "ecclip.catalog.publish.stage.publish",
    "ecclip.catalog.extract": "ecclip.catalog.source.stage.extract",
    "ecclip.catalog.map_dump": "ecclip.catalog.mapping.map_dump.map_dump",
    "ecclip.catalog.trace_listing": "ecclip.catalog.publish.tracing.trace_listing",
    "ecclip.embeddings": "ecclip.formats.embeddings",
    "ecclip.serving.ProductClient": "ecclip.client.ProductClient",
    "ecclip.serving.AsyncProductClient": "ecclip.client.AsyncProductClient",
    "ecclip.tasks.HeadTask": "ecclip.tasks.Head",
    "ecclip.tasks.kinds.Asked": "ecclip.tasks.kinds.Query",
    "ecclip.product_input.LEAST_SIDE": "ecclip.product_input.MIN_SIDE",
    "ecclip.registry.judge": "ecclip.registry.check_gate",
    "ecclip.registry.locked": "ecclip.core.locked",
    "ecclip.release.judge_night": "ecclip.release.gate_night",
    "ecclip.pipeline.nights": "ecclip.nights.known_nights",
    "ecclip.pipeline.add_night": "ecclip.nights.add_night",
    "ecclip.pipeline.previous_of": "ecclip.nights.previous_of",
    "ecclip.pipeline.prepare_workspace": "ecclip.nights.prepare_workspace",
    "ecclip.pipeline.work_path": "ecclip.nights.work_path",
    "ecclip.product_input.Preprocessor.text": "ecclip.product_input.Preprocessor.title",
    "ecclip.product_input.Preprocessor.texts": "ecclip.product_input.Preprocessor.tokens",
}
_HEAD = """# Renames

Names that have changed: what you typed or imported before, and what to use now. Made by `ecclip renames`; a test goes
through every row. An old parameter, setting or command is an error that says the new one.
"""
_KINDS = {
    "Commands": COMMANDS,
    "Parameters": PARAMETERS,
    "Values of parameters": VALUES,
    "Settings": RENAMED_SETTINGS,
    "Metrics": METRICS,
    "Columns of a snapshot": COLUMNS,
    "Python modules": MODULES,
}


def renamed_parameter(old: str) -> str | None:
    """Return the new name of a parameter, or None if it was not renamed; parts follow their section."""
    parts = old.split(".")
    for count in range(len(parts), 0, -1):
        if new := PARAMETERS.get(".".join(parts[:count])):
            return ".".join([new, *parts[count:]])
    return None


def renames_page() -> str:
    """Return docs/renames.md: a table of old and new names for each kind that has any."""
    lines = [_HEAD]
    for title, table in _KINDS.items():
        if table:
            rows = [f"| `{old}` | `{new}` |" for old, new in table.items()]
            lines += [f"## {title}\n", "| old | new |", "|---|---|", *rows, ""]
    return "\n".join(lines)
