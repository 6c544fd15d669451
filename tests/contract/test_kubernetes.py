"""The manifests for Kubernetes are what its client reads whole, and start what the compose file starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose import composed
from kubernetes.client import ApiClient, V1Pod, V1Service, V1StatefulSet
from typer.testing import CliRunner

from ecclip.cli import app
from ecclip.core import Settings

FOLDER = Path(__file__).parents[2] / "infra" / "kubernetes"
KINDS = {"Pod": V1Pod, "Service": V1Service, "StatefulSet": V1StatefulSet}
MANIFESTS: list[dict[str, Any]] = [
    document for path in sorted(FOLDER.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())
]


class _Reply:
    """What the client takes a manifest from."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        self.data = json.dumps(manifest)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_a_manifest_has_no_field_that_the_client_does_not_know(manifest: dict[str, Any]) -> None:
    client = ApiClient()
    read = client.deserialize(_Reply(manifest), KINDS[manifest["kind"]].__name__)
    assert client.sanitize_for_serialization(read) == manifest


@pytest.fixture(scope="module")
def containers() -> dict[str, dict[str, Any]]:
    (servers,) = [one for one in MANIFESTS if one["kind"] == "StatefulSet"]
    return {one["name"]: one for one in servers["spec"]["template"]["spec"]["containers"]}


def test_the_servers_have_the_options_of_the_compose_file(containers: dict[str, dict[str, Any]]) -> None:
    command = composed("compose.yaml").services["triton"]["command"]
    values = {f"$({variable['name']})": variable["name"].lower() for variable in containers["triton"]["env"]}
    given = containers["triton"]["args"]
    for variable, value in values.items():
        given = [word.replace(variable, value) for word in given]
    assert given == command


def test_each_server_has_a_side_car_that_knows_its_keys(containers: dict[str, dict[str, Any]]) -> None:
    side_car = containers["reconcile"]
    assert CliRunner().invoke(app, [*side_car["args"], "--help"]).exit_code == 0
    assert side_car["args"] == composed("compose.yaml").services["triton-reconcile"]["command"]
    assert {one["name"].removeprefix("ECCLIP_").lower() for one in side_car["env"]} <= set(Settings.model_fields)
    secret = {one["name"].removeprefix("ECCLIP_"): one.get("valueFrom") for one in side_car["env"]}
    for variable in containers["triton"]["env"]:
        assert secret[variable["name"]] == variable["valueFrom"]


def test_the_volume_is_where_both_look_for_the_models(containers: dict[str, dict[str, Any]]) -> None:
    mounts = {
        name: {one["name"]: one["mountPath"] for one in given["volumeMounts"]} for name, given in containers.items()
    }
    assert mounts["triton"]["shop"] == mounts["reconcile"]["shop"]
    (workspace,) = [one["value"] for one in containers["reconcile"]["env"] if one["name"] == "ECCLIP_WORKSPACE"]
    assert f"--model-repository={workspace}/work/model_repository" in containers["triton"]["args"]
    assert mounts["reconcile"]["shop"] == workspace
