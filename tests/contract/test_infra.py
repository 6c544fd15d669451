"""The production files would run: images install the locks, and the compose file gives every service what it needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as triton
from certificates import authority
from compose import Composed, composed
from serving_server import embedded_server
from tritonclient.utils import InferenceServerException
from typer.testing import CliRunner
from waiting import wait_until

from ecclip.cli import app
from ecclip.client import TLS, TOKEN_NAME, ClientOptions, NotLoaded, Product, ProductClient, Rejected
from ecclip.core import settings
from ecclip.core.services import Services, choose_port
from ecclip.local import airflow, make_workspace
from ecclip.serving.server.control import restricted_protocol

ROOT = Path(__file__).parents[2]
IMAGES = sorted((ROOT / "infra" / "images").glob("*.Dockerfile"))
WORKER, SHOP = "ecclip-worker", "/opt/ecclip/shop"
# what the server's python models import, and the bundle's pixels, tokens and numbers were made with
COMPARED_AT_LOAD = ("pillow", "tokenizers", "onnxruntime")


@pytest.fixture(scope="module")
def compose() -> Composed:
    return composed("compose.yaml")


def _locked(lock: str, name: str) -> str:
    found = re.search(rf"^{name}==(\S+)", (ROOT / "requirements" / f"{lock}.txt").read_text(), re.MULTILINE)
    assert found, f"{name} is not in {lock}"
    return found[1]


def _dockerfile(image: str) -> str:
    return (ROOT / "infra" / "images" / f"{image}.Dockerfile").read_text().replace("\\\n", " ")


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.name)
def test_packages_come_from_hashed_locks_alone(image: Path) -> None:
    text = image.read_text().replace("\\\n", " ")
    installs = re.findall(r"pip install[^&\n]*", text)
    assert installs
    for install in installs:
        of_a_lock = re.search(r"--require-hashes -r (\S+)", install)
        assert of_a_lock or "--no-deps --no-build-isolation --editable ." in install, install
        assert of_a_lock is None or (ROOT / "requirements" / Path(of_a_lock[1]).name).is_file()
    assert re.findall(r"[a-z]==\d", text) == []


def test_the_worker_can_build_the_package_without_a_registry() -> None:
    """It is installed without build isolation: what builds it is in the lock of the image."""
    for name in ("hatchling", "editables"):
        assert _locked("production", name)


@pytest.mark.parametrize("name", COMPARED_AT_LOAD)
def test_the_server_has_the_versions_whose_pixels_and_tokens_are_compared_at_load(name: str) -> None:
    versions = {_locked(lock, name) for lock in ("main", "production", "serving")}
    assert len(versions) == 1
    assert "-r /tmp/serving.txt" in _dockerfile("triton")


def test_the_server_has_a_numpy_that_the_models_do_not_refuse() -> None:
    assert _locked("serving", "numpy").startswith("1.")
    for model in ("graph", "product"):
        assert "numpy < 2" in (ROOT / "triton_models" / model / "model.py").read_text()


def test_every_secret_is_asked_for_by_name_and_the_readme_makes_it(compose: Composed) -> None:
    page = (ROOT / "infra" / "README.md").read_text()
    for name in compose.wanted | composed("compose.tls.yaml").wanted:
        assert f"{name}=" in page, name


@pytest.mark.parametrize(
    "name",
    [
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__API_AUTH__JWT_ISSUER",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
        "ECCLIP_TRITON_CONTROL_KEY",
        "ECCLIP_TRITON_TOKEN",
    ],
)
def test_all_components_share_what_they_sign_and_encrypt_with(compose: Composed, name: str) -> None:
    values = {service["environment"][name] for service in compose.of_image(WORKER).values()}
    assert len(values) == 1


def test_every_component_of_airflow_runs(compose: Composed) -> None:
    commands = {tuple(service["command"]) for service in compose.services.values() if service.get("command")}
    for component in airflow.COMPONENTS:
        assert (component.removeprefix("airflow-"),) in commands


def test_nothing_starts_before_workspace_and_database_are_prepared(compose: Composed) -> None:
    for name in set(compose.services) - {"postgres", "prepare"}:
        assert compose.services[name]["depends_on"] == {"prepare": {"condition": "service_completed_successfully"}}
    assert compose.services["prepare"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_pools_are_those_of_the_file_that_local_services_import_too(compose: Composed) -> None:
    script = compose.services["prepare"]["command"][0]
    assert "airflow pools import /opt/ecclip/dags/pools.json" in script
    assert "COPY dags/ dags/" in _dockerfile("worker")
    pools = json.loads((ROOT / "dags" / "pools.json").read_text())
    assert airflow.pools() == pools
    assert compose.services["airflow-scheduler"]["environment"]["ECCLIP_GPU_POOL"] in pools


def test_every_volume_is_mounted_where_the_image_has_a_folder_of_its_user(compose: Composed) -> None:
    mounts = {volume for service in compose.of_image(WORKER).values() for volume in service["volumes"]}
    assert mounts == {f"shop:{SHOP}"}
    for image in ("worker", "engine"):
        text = _dockerfile(image)
        made = re.search(
            r"WORKDIR /opt/ecclip\n.*?mkdir shop\s+&& chown -R (?:ecclip:ecclip|1000) /opt/ecclip$", text, re.S | re.M
        )
        assert made, image
        assert text.index("USER 1000") > made.end() - len("USER 1000")
    assert compose.services["triton"]["volumes"] == [f"shop:{SHOP}:ro"]
    repository = f"--model-repository={SHOP}/work/model_repository"
    assert repository in compose.services["triton"]["command"]


def test_mlflow_knows_the_names_by_which_it_is_asked(compose: Composed) -> None:
    service = compose.services["mlflow"]
    hosts = next(word for word in service["command"] if word.startswith("--allowed-hosts=")).partition("=")[2]
    asked = compose.services["airflow-scheduler"]["environment"]["ECCLIP_MLFLOW_TRACKING_URI"].removeprefix("http://")
    published = service["ports"][0].rpartition(":")[0]
    assert {asked, published} <= set(hosts.split(","))
    assert f"--port={asked.rpartition(':')[2]}" in service["command"]


def test_dvc_works_in_the_prepared_workspace_without_git(
    compose: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the image's folder that is copied: what the Dockerfile copies, and no .git."""
    assert f"ecclip workspace {SHOP}" in compose.services["prepare"]["command"][0]
    text = _dockerfile("worker")
    for needed in ("dvc.yaml", "params.yaml", ".dvcignore", ".dvc/config"):
        assert re.search(rf"^COPY .*{re.escape(needed)}", text, re.MULTILINE), needed
    shop = tmp_path / "shop"
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(ROOT))
    settings.cache_clear()
    make_workspace(shop, own_parameters=True)
    make_workspace(shop, own_parameters=True)  # as at every start
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(shop))
    settings.cache_clear()
    from ecclip.nights import add_night
    from ecclip.registry import dvc_version, record_version

    add_night("2026-11-01")
    (shop / "work" / "snapshots" / "2026-11-01").mkdir()
    (shop / "work" / "snapshots" / "2026-11-01" / "listings").write_text("one")
    for name in ("ingest", "check", "clean", "group", "pairs"):
        (shop / "work" / "nights" / "2026-11-01" / name).mkdir(parents=True)
    record_version("2026-11-01", ["publish"])
    assert dvc_version("2026-11-01")
    assert not (shop / "params.yaml").is_symlink()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ClientOptions, Composed]]:
    """Start the server with the options of the compose files; it has the binary and the folders of this machine."""
    folder = tmp_path_factory.mktemp("secured")
    signer = authority(folder / "tls")
    signer.sign("server")
    certificate, key = signer.sign("client")
    files = composed("compose.yaml", "compose.tls.yaml")
    (folder / "shop" / "work" / "model_repository").mkdir(parents=True)
    grpc, metrics = choose_port(str(folder), 0), choose_port(str(folder), 1)
    program = embedded_server(folder).home / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    command = files.command("triton", {SHOP: str(folder / "shop"), "/tls/": f"{folder}/tls/"})
    here = [
        f"--grpc-port={grpc}",
        f"--metrics-port={metrics}",
        "--grpc-address=127.0.0.1",
        "--metrics-address=127.0.0.1",
    ]
    services = Services(folder / "work")
    server = services.start("triton", [str(program), *command[1:], *here], {"PATH": "/usr/bin"}, port=grpc)
    tls = TLS(roots=signer.roots, certificate=certificate, key=key)
    options = ClientOptions(tls=tls, token="triton_token", retries=0)
    try:
        with triton.InferenceServerClient(server.address, **options.channel()) as client:
            wait_until(lambda: _lives(client) or not server.is_running(), "the server")
        server.require_alive()
        yield server.address, options, files
    finally:
        services.stop("triton")


def _lives(client: triton.InferenceServerClient) -> bool:
    try:
        return bool(client.is_server_live())
    except InferenceServerException:
        return False


def test_triton_starts_with_the_options_of_the_compose_file_and_asks_for_certificate_and_token(
    secured: tuple[str, ClientOptions, Composed],
) -> None:
    address, options, files = secured
    with ProductClient(address, options) as client, pytest.raises(NotLoaded, match="unknown model"):
        client.ask([Product(title="mug")])
    bare = ClientOptions(tls=options.tls, retries=0)
    with ProductClient(address, bare) as client, pytest.raises(Rejected, match=TOKEN_NAME):
        client.ask([Product(title="mug")])
    assert restricted_protocol("triton_control_key") in files.services["triton"]["command"]


def test_whoever_asks_triton_has_the_client_certificate_where_it_is_wanted(compose: Composed) -> None:
    files = composed("compose.yaml", "compose.tls.yaml")
    plain, secure = (one.services["triton"]["command"] for one in (compose, files))
    assert [
        option for option in secure if not option.startswith(("--grpc-use-ssl", "--grpc-root", "--grpc-server"))
    ] == plain
    for name in ("airflow-scheduler", "airflow-triggerer", "triton-reconcile"):
        given = files.services[name]
        assert {"ECCLIP_TRITON_TLS_ROOTS", "ECCLIP_TRITON_TLS_CERTIFICATE", "ECCLIP_TRITON_TLS_KEY"} <= set(
            given["environment"]
        )
        assert given["environment"].items() >= compose.services[name]["environment"].items()
        assert any(volume.endswith(":/tls:ro") for volume in given["volumes"])


def test_a_restarted_triton_is_brought_to_what_is_live_by_a_command_that_there_is(compose: Composed) -> None:
    service = compose.services["triton-reconcile"]
    assert service["restart"] == "unless-stopped"
    assert service["environment"]["ECCLIP_TRITON_ADDRESSES"] == "triton:8001"
    asked = [*service["command"], "--help"]
    assert CliRunner().invoke(app, asked).exit_code == 0
