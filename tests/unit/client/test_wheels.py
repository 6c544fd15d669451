"""The wheels work without the checkout: one stages and serves a bundle, the other asks the server, alone.

What the pages say about asking runs here too: the examples of docs/client.md, and the raw call of docs/service.md.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import grpc
import numpy as np
import pytest
from dumps import picture
from google.protobuf import json_format
from serving_bundles import tiny_bundle
from serving_server import ENVIRONMENTS, SERVING_PYTHON, embedded_server
from tritonclient.grpc import service_pb2 as protocol
from tritonclient.utils import deserialize_bytes_tensor
from wheels import CLIENT, ROOT, build_wheel, install, link_requirements, run_alone

import ecclip
from ecclip.client import Product, ProductClient
from ecclip.formats.bundle import Bundle

pytestmark = pytest.mark.heavy
TITLE = "red leather tote bag"
# ship_code is what the stage export takes from the package's files; the rest of it is torch
_SERVE = """
import json, sys
from pathlib import Path
import ecclip
from ecclip.serving import Deployment, EmbeddedServer
from ecclip.serving.deploy.platforms import TEMPLATES
from ecclip.serving.export import ship_code
work, bundle, environments, python, code = map(Path, sys.argv[1:])
code.mkdir()
ship_code(code)
server = EmbeddedServer(work, environments / "triton", python)
deployment = Deployment(server.repository, server.start().address)
server.repository.stage(bundle, 1)
passed = deployment.bless(1).passed
deployment.go_live(1)
print(json.dumps([ecclip.__file__, str(TEMPLATES), passed, deployment.address]))
"""
_ASK = """
import asyncio, importlib.util, json, sys
from ecclip_client import AsyncProductClient, Product, ProductClient
address, *titles = sys.argv[1:]
products = [Product(title=title) for title in titles]
with ProductClient(address) as client:
    asked, each = client.ask(products), list(client.ask_each(iter(products)))

async def main():
    async with AsyncProductClient(address, in_flight=2) as client:
        return await client.ask(products), [answer async for answer in client.ask_each(iter(products))]

answers = [asked, each, *asyncio.run(main())]
print(json.dumps({
    "answers": [[[one.categories, one.category_scores, one.lineage, one.error] for one in kind] for kind in answers],
    "can import": [name for name in ("ecclip", "pydantic", "torch") if importlib.util.find_spec(name)],
}))
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    return {name: build_wheel(at, folder / name) for name, at in {"ecclip": ROOT, "ecclip-client": CLIENT}.items()}


@pytest.fixture(scope="module")
def alone(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders that a process of the client's wheel may import from: the wheel, and what its metadata asks for."""
    folder = tmp_path_factory.mktemp("client")
    needed = link_requirements(_metadata(wheels["ecclip-client"]).get_all("Requires-Dist"), folder / "needed")
    return [install(wheels["ecclip-client"], folder / "target"), needed]


@pytest.fixture(scope="module")
def served(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """What a process of the installed wheel says that staged a bundle, blessed it and went live, in another folder."""
    folder = tmp_path_factory.mktemp("served")
    server = embedded_server(folder / "work")
    target = install(wheels["ecclip"], folder / "target")
    paths = [folder / "work", tiny_bundle(0), ENVIRONMENTS, SERVING_PYTHON, folder / "code"]
    try:
        done = subprocess.run(
            [sys.executable, "-c", _SERVE, *map(str, paths)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(target), "ECCLIP_WORKSPACE": str(folder)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        yield [*json.loads(done.stdout.splitlines()[-1]), str(folder)]
    finally:
        server.stop()


@pytest.fixture(scope="module")
def address(served: list[str]) -> str:
    return served[3]


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def test_both_wheels_have_the_version_of_the_tree(wheels: dict[str, Path]) -> None:
    assert {_metadata(wheel)["Version"] for wheel in wheels.values()} == {ecclip.__version__}
    assert {name: _metadata(wheel)["Name"] for name, wheel in wheels.items()} == {name: name for name in wheels}


def test_the_client_s_wheel_holds_the_files_of_the_tree_and_needs_two_packages(wheels: dict[str, Path]) -> None:
    assert _metadata(wheels["ecclip-client"]).get_all("Requires-Dist") == ["numpy>=1.26", "tritonclient[grpc]>=2.73"]
    with zipfile.ZipFile(wheels["ecclip-client"]) as archive:
        code = {name: archive.read(name) for name in archive.namelist() if name.endswith(".py")}
    door = code.pop("ecclip_client/__init__.py")
    assert door == (CLIENT / "ecclip_client" / "__init__.py").read_bytes()
    assert len(code) == len(list((ROOT / "ecclip" / "client").glob("*.py"))) + 2
    assert code == {name: (ROOT / name.replace("ecclip_client", "ecclip")).read_bytes() for name in code}


def test_the_installed_wheel_ships_code_and_serves_a_bundle_without_the_checkout(served: list[str]) -> None:
    package, templates, passed, _, folder = served
    assert Path(package).is_relative_to(folder)
    assert Path(templates).is_relative_to(folder)
    assert passed is True
    shipped, bundled = Path(folder) / "code", Bundle(tiny_bundle(0)).code
    files = sorted(path.relative_to(bundled) for path in bundled.rglob("*") if path.is_file())
    assert sorted(path.relative_to(shipped) for path in shipped.rglob("*") if path.is_file()) == files
    assert [name for name in files if (shipped / name).read_bytes() != (bundled / name).read_bytes()] == []


def test_the_client_asks_alone_what_the_whole_of_ecclip_asks(alone: list[Path], address: str, tmp_path: Path) -> None:
    titles = [f"{TITLE} {number}" for number in range(40)]  # two messages
    found = json.loads(run_alone(_ASK, alone, [address, *titles], tmp_path))
    assert found["can import"] == []
    with ProductClient(address) as client:
        expected = client.ask([Product(title=title) for title in titles])
    for answers in found["answers"]:
        assert [one[0] for one in answers] == [[list(path) for path in one.categories] for one in expected]
        assert [one[2:] for one in answers] == [[one.lineage, ""] for one in expected]
        for one, wanted in zip(answers, expected, strict=True):
            np.testing.assert_allclose(one[1], wanted.category_scores, atol=1e-5)


def _blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_page_run(alone: list[Path], address: str, tmp_path: Path) -> None:
    examples = [one for one in _blocks("client.md", "python") if "certificates" not in one]
    assert len(examples) == 6
    (tmp_path / "photo.jpg").write_bytes(picture(1))
    printed = run_alone("\n".join(examples).replace("127.0.0.1:8001", address), alone, [], tmp_path)
    assert "the server does not answer 127.0.0.1:9" in printed
    assert printed.startswith("[('")  # the first path of an answer


def test_the_raw_call_of_the_page_is_answered_as_it_says(address: str) -> None:
    """The request is read as grpcurl reads it: JSON by the rules of protobuf, and a method by its name."""
    (written,) = [one for one in _blocks("service.md", "json") if "model_name" in one]
    page = (ROOT / "docs" / "service.md").read_text()
    (method,) = re.findall(r"grpcurl .* (inference\.\S+/\S+) < request\.json", page)
    assert base64.b64encode(TITLE.encode()).decode() in written
    request = json_format.Parse(written, protocol.ModelInferRequest())
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(
            f"/{method}",
            request_serializer=protocol.ModelInferRequest.SerializeToString,
            response_deserializer=protocol.ModelInferResponse.FromString,
        )
        response = call(request)
    raw = dict(zip((one.name for one in response.outputs), response.raw_output_contents, strict=True))
    assert list(raw) == [one.name for one in request.outputs]
    with ProductClient(address) as client:
        answer = client.ask([Product(title=TITLE)])[0]
    paths = [tuple(json.loads(one)) for one in deserialize_bytes_tensor(raw["CATEGORY"])]
    assert paths == answer.categories
    np.testing.assert_allclose(np.frombuffer(raw["CATEGORY_SCORE"], "<f4"), answer.category_scores, atol=1e-5)
    assert json.loads(deserialize_bytes_tensor(raw["DECISION"])[0]) == answer.decisions
    assert list(deserialize_bytes_tensor(raw["ERROR"])) == [b""]
