"""Questions as tasks of Label Studio (https://labelstud.io/guide/task_format), and its annotations as corrections."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from ecclip.core import ContractError
from ecclip.formats.columns import IMAGE_SHA256, TITLE_ORIGINAL
from ecclip.formats.corrections import Label
from ecclip.review.desk import Desk, Said
from ecclip.review.questions import Question, label_text

_CONTROL, _SHOWN = "label", "title"  # names of tags in the labelling configuration
_SUGGESTED = "suggested"  # how the version of a prediction ends that is no head's
_NEXT_STEP = "export the project as JSON (not JSON-MIN), and import that file"


def to_tasks(desk: Desk, question: Question, places: Iterable[int]) -> list[dict[str, Any]]:
    """Return a task per listing, with its photo inside and the heads' answer as a prediction.

    A category without examples that is suggested is a second prediction, by another version.
    """
    chosen = list(places)
    details = desk.night.details(chosen)
    photos = dict(desk.night.snapshot.photos(row[IMAGE_SHA256] for row in details.values() if row[IMAGE_SHA256]))
    answers, version = desk.night.answers(question), f"{desk.night.night}/{desk.night.heads.towers[:16]}"
    tasks = []
    for place in chosen:
        row = details[place]
        data = {
            "listing_id": row["listing_id"],
            "task": question.head.name,
            "title": row[TITLE_ORIGINAL] or "",
            "description": row["description"] or "",
            "catalog": label_text(desk.standing(question, place).label),
            "photo": _data_url(photos.get(row[IMAGE_SHA256])),
        }
        answer = question.labels[int(answers.answer[place])]
        predictions = [_prediction(version, float(answers.score[place]), answer)]
        suggested = desk.night.suggested(question, place, 1)
        predictions += [_prediction(f"{version} {_SUGGESTED}", score, path) for path, score in suggested]
        tasks.append({"data": data, "predictions": predictions})
    return tasks


def labelling_config(question: Question) -> str:
    """Return the labelling configuration for the tasks of a question: a taxonomy of paths, or single choices."""
    view = ET.Element("View")
    ET.SubElement(view, "Image", name="photo", value="$photo")
    ET.SubElement(view, "Text", name=_SHOWN, value="$title")
    ET.SubElement(view, "Text", name="catalog", value="$catalog")
    if question.field == "category":
        control = ET.SubElement(view, "Taxonomy", name=_CONTROL, toName=_SHOWN, maxUsages="1")
        for path in question.labels:
            _add_path(control, path if isinstance(path, list) else [])
    else:
        control = ET.SubElement(view, "Choices", name=_CONTROL, toName=_SHOWN, choice="single")
        for label in question.labels:
            ET.SubElement(control, "Choice", value=label_text(label))
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def from_tasks(text: str) -> tuple[list[Said], int]:
    """Return what the last annotation of each task says, and how many tasks have none.

    Raises:
        ContractError: it is no export of Label Studio that holds such tasks; names what is wrong.
    """
    said, left_open = [], 0
    try:
        for task in json.loads(text):
            annotations = [one for one in task.get("annotations") or () if not one.get("was_cancelled")]
            annotations.sort(key=lambda one: str(one.get("updated_at") or one.get("created_at") or ""))
            label = _label(annotations[-1]["result"]) if annotations else ""
            if label:
                data, one = task["data"], annotations[-1]
                said.append(Said(str(data["listing_id"]), str(data["task"]), label, _author(one), _moment(one)))
            else:
                left_open += 1
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ContractError(
            "this is no export of Label Studio's tasks", value=f"{type(error).__name__}: {error}"[:200],
            next_step=_NEXT_STEP,
        ) from error  # fmt: skip
    return said, left_open


def _prediction(version: str, score: float, label: Label) -> dict[str, Any]:
    return {"model_version": version, "score": round(score, 6), "result": [_said(label)]}


def _said(label: Label) -> dict[str, Any]:
    kind = "taxonomy" if isinstance(label, list) else "choices"
    value = [label] if isinstance(label, list) else [label_text(label)]
    return {"from_name": _CONTROL, "to_name": _SHOWN, "type": kind, "value": {kind: value}}


def _label(result: list[dict[str, Any]]) -> str:
    """Return the label of an annotation by its text; empty where nothing was chosen."""
    for one in result:
        if one["from_name"] == _CONTROL:
            chosen = (one["value"].get("taxonomy") or one["value"].get("choices") or [""])[0]
            return label_text(chosen) if isinstance(chosen, list) else str(chosen)
    return ""


def _author(annotation: dict[str, Any]) -> str:
    by = annotation.get("completed_by") or ""
    name = by.get("email") or by.get("id") if isinstance(by, dict) else by
    return f"label-studio:{name}" if name else "label-studio"


def _moment(annotation: dict[str, Any]) -> str:
    """Return when it was made, in UTC; empty where it does not say so."""
    given = annotation.get("updated_at") or annotation.get("created_at")
    return datetime.fromisoformat(given).astimezone(UTC).isoformat(timespec="seconds") if given else ""


def _add_path(control: ET.Element, path: list[str]) -> None:
    at = control
    for name in path:
        known = next((one for one in at if one.get("value") == name), None)
        at = ET.SubElement(at, "Choice", value=name) if known is None else known


def _data_url(photo: bytes | None) -> str:
    return "" if photo is None else f"data:image/jpeg;base64,{base64.b64encode(photo).decode()}"
