"""Over TLS, with a certificate and a token, a real server answers; whoever lacks one of them gets no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from certificates import Authority, authority
from serving_server import embedded_server, live_server

from ecclip.client import (
    TLS,
    Answer,
    AsyncProductClient,
    ClientOptions,
    Product,
    ProductClient,
    Rejected,
    Unavailable,
)
from ecclip.core import ConfigError, settings
from ecclip.serving import Deployment, EmbeddedServer, client_options
from ecclip.serving.server.control import Control

pytestmark = pytest.mark.heavy

TOKEN = "open-sesame=1"
MUG = [Product(title="red steel mug")]
Server = tuple[EmbeddedServer, Deployment]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


def _settings(signer: Authority, mutual: bool) -> dict[str, Path]:
    server, server_key = signer.sign("server")
    client, client_key = signer.sign("client")
    own = {"CERTIFICATE": client, "KEY": client_key} if mutual else {}
    return {"ROOTS": signer.roots, "SERVER_CERTIFICATE": server, "SERVER_KEY": server_key, **own}


@pytest.fixture(scope="module")
def server(signer: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server that was blessed and went live over mutual TLS with a token."""
    with pytest.MonkeyPatch.context() as patch:
        for name, path in _settings(signer, mutual=True).items():
            patch.setenv(f"ECCLIP_TRITON_TLS_{name}", str(path))
        patch.setenv("ECCLIP_TRITON_TOKEN", TOKEN)
        settings.cache_clear()
        with live_server(tmp_path_factory.mktemp("guarded")) as started:
            yield started


def _ask(server: Server, options: ClientOptions) -> Answer:
    with ProductClient(server[1].address, options) as client:
        return client.ask(MUG)[0]


def _own(**changed: object) -> ClientOptions:
    """Return the options of this workspace's clients, but for what is changed; one attempt."""
    own = client_options(retries=0)
    given = {"tls": own.tls, "token": own.token, "retries": 0, **changed}
    return ClientOptions(**given)  # type: ignore[arg-type]


@pytest.mark.fault(43)
def test_who_has_certificate_and_token_gets_answers(server: Server) -> None:
    async def asked() -> list[Answer]:
        async with AsyncProductClient(server[1].address, client_options()) as client:
            return await client.ask(MUG)

    answers = [_ask(server, client_options()), *asyncio.run(asked())]
    assert [one.error for one in answers] == ["", ""]
    assert len({one.lineage for one in answers}) == 1


@pytest.mark.fault(43)
@pytest.mark.parametrize("token", [None, "guessed"])
def test_who_has_no_token_is_refused_at_once(server: Server, token: str | None) -> None:
    with pytest.raises(Rejected, match="wants a token") as refused:
        _ask(server, _own(token=token, retries=10**6))
    assert TOKEN not in str(refused.value)


@pytest.mark.fault(43)
def test_who_speaks_no_tls_or_has_no_certificate_of_the_authority_gets_no_answer(
    server: Server, signer: Authority, tmp_path: Path
) -> None:
    stranger = authority(tmp_path)
    certificate, key = stranger.sign("client")
    for tls in (None, TLS(roots=signer.roots), TLS(roots=signer.roots, certificate=certificate, key=key)):
        with pytest.raises(Unavailable):
            _ask(server, _own(tls=tls))


@pytest.mark.fault(43)
def test_a_client_that_trusts_another_authority_sends_nothing(server: Server, tmp_path: Path) -> None:
    own = client_options().tls
    assert own is not None
    with pytest.raises(Unavailable):
        _ask(server, _own(tls=TLS(roots=authority(tmp_path).roots, certificate=own.certificate, key=own.key)))


@pytest.mark.fault(43)
def test_no_command_line_no_log_and_no_repr_shows_the_token(server: Server) -> None:
    process = server[0].attach()
    assert process is not None
    everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert not [one for one in everyone if TOKEN in " ".join(one.cmdline())]
    assert TOKEN not in server[0].log.read_text()
    assert TOKEN not in repr(client_options())


def test_its_supervisor_asks_it_the_same_way(server: Server) -> None:
    process = server[0].attach()
    assert process is not None
    assert server[0].start().pid == process.pid  # found in health, and not started again


def test_without_certificates_of_clients_the_channel_is_encrypted_all_the_same(
    signer: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, path in _settings(signer, mutual=False).items():
        monkeypatch.setenv(f"ECCLIP_TRITON_TLS_{name}", str(path))
    for name in ("CERTIFICATE", "KEY"):  # of the module's other server
        monkeypatch.delenv(f"ECCLIP_TRITON_TLS_{name}", raising=False)
    settings.cache_clear()
    server = embedded_server(tmp_path)
    try:
        address = server.start().address
        with Control(address) as control:
            assert control.is_live()
        monkeypatch.delenv("ECCLIP_TRITON_TLS_ROOTS")
        monkeypatch.delenv("ECCLIP_TRITON_TLS_SERVER_CERTIFICATE")
        settings.cache_clear()
        with Control(address) as control:
            assert not control.is_live()
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"CERTIFICATE": "client.pem", "KEY": "client.key"}, "without the authorities"),
        ({"ROOTS": "roots.pem", "CERTIFICATE": "client.pem"}, "go together"),
        ({"ROOTS": "none.pem"}, "none.pem"),
        ({"ROOTS": "empty.pem"}, "neither a certificate nor a key"),
        ({"ROOTS": "roots.pem"}, "the embedded server has no certificate"),
    ],
)
def test_settings_that_cannot_work_are_named_before_anything_is_started(
    given: dict[str, str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority(tmp_path).sign("client")
    (tmp_path / "empty.pem").write_text("")
    for name in ("ROOTS", "CERTIFICATE", "KEY", "SERVER_CERTIFICATE", "SERVER_KEY"):
        monkeypatch.delenv(f"ECCLIP_TRITON_TLS_{name}", raising=False)
        if name in given:
            monkeypatch.setenv(f"ECCLIP_TRITON_TLS_{name}", str(tmp_path / given[name]))
    settings.cache_clear()
    server = embedded_server(tmp_path / "work")
    with pytest.raises(ConfigError, match=says):
        server.start()
    assert server.attach() is None
