"""dvc.yaml from the pipeline: one stage of DVC per stage and night."""

from __future__ import annotations

import posixpath
import textwrap
from typing import Any

import yaml

from ecclip.pipeline import STEPS, Step, section_of

_HEAD = """# Made by `ecclip pipeline dvc` from the stages of ecclip/pipeline.py; a test compares this file with them.
# One stage per night: dvc repro, dvc status, dvc push. work/nights.yaml lists the nights; `ecclip run extract` (or
# `ecclip nights add`) enters one.
vars:
- work/nights.yaml

stages:"""
_EXTERNAL = """\
# always run: it looks at the source outside, and says "unchanged" where nothing changed there. Its output is not kept
# in the cache: land keeps the listings byte by byte, and the photos"""


def dvc_yaml() -> str:
    """Return the text of dvc.yaml: command, inputs, code, parameters and output of every stage."""
    return _HEAD + "\n" + "\n".join(_stage(name, step) for name, step in STEPS.items())


def _stage(name: str, step: Step) -> str:
    note = f"{_EXTERNAL}\n" if step.external else ""
    text = yaml.safe_dump({name: {"foreach": "${nights}", "do": _do(name, step)}}, sort_keys=False, width=200)
    return textwrap.indent(note + text, "  ")


def _do(name: str, step: Step) -> dict[str, Any]:
    inputs = [] if step.external else [_path(template) for template in step.inputs.values()]
    kept = {"cache": False, "persist": True} if step.external else {"persist": True}
    always = {"always_changed": True} if step.external else {}
    return {
        "cmd": f"ecclip run {name} --night ${{key}}",
        "deps": [*inputs, *step.sources],
        "params": [section_of(name)],
        "outs": [{_path(step.output): kept}],
    } | always


def _path(template: str) -> str:
    return posixpath.normpath("work/" + template.format(night="${key}", previous="${item.previous}"))
