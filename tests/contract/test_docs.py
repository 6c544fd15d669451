"""The docs say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecclip.catalog.dump.contract import DUMP_FIELDS, contract_table
from ecclip.catalog.mapping.map_dump import shipped_mappings
from ecclip.catalog.mapping.model import Fields, Mapping
from ecclip.catalog.mapping.reference import mapping_reference
from ecclip.cli import app
from ecclip.core import RENAMED_SETTINGS, StageConfig
from ecclip.parameters import page
from ecclip.pipeline import STEPS, stage_model

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "infra" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]


def test_the_page_of_parameters_is_what_the_code_has() -> None:
    assert (ROOT / "docs" / "parameters.md").read_text() == page()


def test_the_page_has_every_environment_variable_that_a_user_may_set() -> None:
    sources = [*(ROOT / "ecclip").rglob("*.py"), *(ROOT / "dags").glob("*.py"), ROOT / "Makefile"]
    named = {name for path in sources for name in re.findall(r"\bECCLIP_[A-Z_]+\b", path.read_text())}
    between_processes = {"ECCLIP_HIDDEN_ARGUMENT", "ECCLIP_SPARK_WRITE_CLASSES"}
    documented = set(re.findall(r"^\| `(ECCLIP_[A-Z_]+)`", page(), re.MULTILINE))
    assert {name for name in named if not name.endswith("_")} - documented - between_processes - {
        *RENAMED_SETTINGS
    } == set()


def test_the_table_of_the_dump_contract_is_what_the_code_has() -> None:
    assert f"\n\n{contract_table()}\n\n" in (ROOT / "docs" / "dump.md").read_text()


def test_the_keys_of_a_mapping_are_what_the_code_has() -> None:
    assert (ROOT / "docs" / "mapping.md").read_text().endswith(f"\n\n{mapping_reference()}\n")


def test_every_shipped_mapping_is_named_in_the_docs() -> None:
    text = (ROOT / "docs" / "mapping.md").read_text()
    assert [name for name in shipped_mappings() if f"`{name}`" not in text] == []


def test_a_mapping_may_name_the_fields_of_the_contract_and_no_others() -> None:
    own = {"attributes", "age_restricted"}
    assert set(Fields.model_fields) == {field.name for field in DUMP_FIELDS} - own
    required = {name for name, info in Fields.model_fields.items() if info.is_required()}
    assert required == {field.name for field in DUMP_FIELDS if field.required}
    assert own <= set(Mapping.model_fields)


@pytest.mark.parametrize("name", list(STEPS))
def test_every_parameter_says_what_it_means(name: str) -> None:
    model: type[StageConfig] = stage_model(name)
    assert [field for field, info in model.model_fields.items() if not info.description] == []


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_every_make_target_and_file_that_a_page_names_exists(path: Path) -> None:
    text = path.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)\b", text, re.MULTILINE))
    assert named - targets == set()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    assert [link for link in links if not (path.parent / link).exists()] == []


def _anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_every_section_that_a_page_links_to_exists(path: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", path.read_text())
    assert [link for link in links if link[1] not in _anchors(path.parent / link[0] if link[0] else path)] == []


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_every_command_that_a_page_names_can_be_called(path: Path) -> None:
    for line in re.findall(r"^\s*(?:work/env/main/bin/)?ecclip ([a-z][^#\n|`]*)", path.read_text(), re.MULTILINE):
        words = []
        for word in line.split():
            if not re.fullmatch(r"[a-z][a-z-]*", word):
                break
            words.append(word)
        results = [CliRunner().invoke(app, [*words[:count], "--help"]).exit_code for count in range(len(words), 0, -1)]
        assert 0 in results, line


def test_the_page_of_faults_claims_what_tests_show() -> None:
    page = (ROOT / "docs" / "faults.md").read_text()
    claimed = {int(number) for number in re.findall(r"^\| (\d+) .*\| (?:yes|in part)", page, re.MULTILINE)}
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert claimed == {int(number) for number in re.findall(r"\bfault\((\d+)\)", tests)}
