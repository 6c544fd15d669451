"""A server under load answers what it takes, refuses at once what it does not, keeps nothing of who has gone, and is
back by itself when it is killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
from serving_bundles import shared_sources, tiny_bundle
from serving_server import ENVIRONMENTS, SERVING_PYTHON, embedded_server
from waiting import wait_until

from ecclip.bench.answering.deployments import Running
from ecclip.bench.answering.leaks import held_by
from ecclip.bench.answering.scene import Scene, generate, products_of, serving
from ecclip.client import Answer, ClientError, ClientOptions, Product, ProductClient, Unavailable
from ecclip.core import digest_of, settings
from ecclip.core.services import Service
from ecclip.formats.bundle import lineage_of

pytestmark = pytest.mark.heavy

QUEUE = 256  # of config.embedded.pbtxt: questions that may wait
FLOOD = 4 * QUEUE
CALLS = 100  # of a churn
KILLED = 32  # clients that are ended in the middle of their questions
HOSTILE = [Product(image=b"%PDF-1.7"), Product(title="x" * 9000), Product(), Product(title="\ud800")]
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def products() -> list[Product]:
    sources = shared_sources(0)
    return products_of(sources["snapshot"], sources["landed"], sources["ingested"], count=4)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, products: list[Product]) -> Iterator[Scene]:
    (work := tmp_path_factory.mktemp("load") / "work").mkdir()
    server = embedded_server(work)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECCLIP_SERVING_INSTANCES", "2")  # questions are dealt out, and their counts are added up
        settings.cache_clear()
        with serving(server, (tiny_bundle(0), tiny_bundle(1)), products) as scene:
            yield scene
    settings.cache_clear()
    assert server.attach() is None


@pytest.fixture
def client(scene: Scene) -> Iterator[ProductClient]:
    with ProductClient(scene.deployment.address, ClientOptions(retries=0)) as client:
        yield client


def _lineage() -> str:
    return lineage_of(digest_of(tiny_bundle(0)))


def _service(scene: Scene) -> Service:
    service = scene.server.attach()
    assert service is not None
    return service


def _metrics(scene: Scene) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return the metrics of the server by name: labels and value of each."""
    found: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
    with _OPENER.open(f"http://{_service(scene).metrics_address}/metrics") as page:
        for line in page.read().decode().splitlines():
            if match := re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line):
                found[match[1]].append((dict(re.findall(r'(\w+)="([^"]*)"', match[2])), float(match[3])))
    return found


def _sum(scene: Scene, name: str, **labels: str) -> float:
    return sum(value for given, value in _metrics(scene)[name] if labels.items() <= given.items())


def _same(left: Answer, right: Answer) -> None:
    assert (left.error, left.categories[:1], left.decisions) == (right.error, right.categories[:1], right.decisions)
    np.testing.assert_allclose(left.embedding, right.embedding, atol=1e-5)


@pytest.mark.fault(20)
@pytest.mark.fault(28)
def test_what_the_queue_does_not_take_is_refused_at_once_and_what_it_takes_is_answered(scene: Scene) -> None:
    before, refused = _service(scene), 0
    while not refused:  # questions come as fast as they can be sent; pytest-timeout ends what never comes
        flood = Running(scene.load(kind="open", rate=1e6, seconds=FLOOD / 1e6))
        assert scene.server.start() == before, "a server that is busy is not dead"
        fates = flood.finish()
        assert len(fates.questions) == FLOOD
        assert set(fates.failed()) <= {"overloaded"}
        refused = fates.failed()["overloaded"]
    answers = [one.outcome for one in fates.questions if one.is_answered]
    assert set(answers) == {_lineage()}
    assert len(answers) >= QUEUE


class _Asker(threading.Thread):
    """A client that asks again and again, and keeps what became of each question."""

    def __init__(self, address: str, product: Product, options: ClientOptions) -> None:
        super().__init__(daemon=True)
        self._address, self._product, self._options = address, product, options
        self._stopped = threading.Event()
        self.answers: list[Answer] = []
        self.errors: list[ClientError] = []

    def run(self) -> None:
        """Ask until told to stop."""
        with ProductClient(self._address, self._options) as client:
            while not self._stopped.is_set():
                try:
                    self.answers += client.ask([self._product])
                except ClientError as error:
                    self.errors.append(error)

    def await_answers(self) -> None:
        """Wait for two more answers: the first may have been on its way already."""
        seen = len(self.answers)
        wait_until(lambda: len(self.answers) > seen + 1, "answers")

    def stop(self) -> None:
        """Let it end its question, and wait for that."""
        self._stopped.set()
        self.join()


@contextmanager
def _supervised(scene: Scene) -> Iterator[None]:
    """Have ``ecclip serve`` watch the server, as the services of this machine do."""
    environment = {
        "ECCLIP_WORKSPACE": str(scene.server.work.parent),
        "ECCLIP_TRITON_HOME": str(ENVIRONMENTS / "triton"),
        "ECCLIP_SERVING_PYTHON": str(SERVING_PYTHON),
    }
    supervisor = subprocess.Popen([sys.executable, "-m", "ecclip", "serve"], env=os.environ | environment)
    try:
        yield
    finally:
        supervisor.kill()  # told to end, it would stop the server
        supervisor.wait()


@pytest.mark.fault(20)
def test_killed_under_load_it_answers_again_by_itself_and_no_question_is_lost_without_a_word(
    scene: Scene, products: list[Product]
) -> None:
    scene.bless(2)
    scene.deployment.go_live(2)  # which stays loaded beside the version that answers
    scene.deployment.roll_back(1)
    killed = _service(scene)
    patient, usual = ClientOptions(retries=1_000_000, max_pause_s=0.2), ClientOptions()
    askers = [_Asker(killed.address, one, options) for one, options in zip(products, [patient, usual] * 2, strict=True)]
    with _supervised(scene), ExitStack() as stack:
        for asker in askers:
            asker.start()
            stack.callback(asker.stop)
        for asker in askers:
            asker.await_answers()
        os.kill(killed.pid, signal.SIGKILL)
        wait_until(lambda: (scene.server.attach() or killed).pid != killed.pid, "another server")
        for asker in askers:
            asker.await_answers()
    assert _service(scene).address == killed.address, "clients find it where it was"
    assert [one for one in killed.remains() if one.startswith("process")] == [], "of the one that was killed"
    assert {(one.error, one.lineage) for asker in askers for one in asker.answers} == {("", _lineage())}
    assert [asker.errors for asker in askers[::2]] == [[], []], "who asks again loses nothing"
    errors = [error for asker in askers for error in asker.errors]
    assert all(isinstance(error, Unavailable) and error.value == killed.address for error in errors), errors


@pytest.mark.fault(27)
def test_clients_that_are_killed_or_come_and_go_leave_no_file_and_no_thread(scene: Scene) -> None:
    def churn() -> None:
        fates = generate(scene.load(kind="churn", calls=CALLS, concurrency=8))
        assert len(fates.questions) == CALLS
        assert {reason.split(":")[0] for reason in fates.failed()} <= {"deadline_exceeded"}

    churn()
    before = held_by(scene)
    churn()
    host, port = scene.deployment.address.split(":")
    with ExitStack() as slow:
        for _ in range(50):  # they say that they speak HTTP/2, and nothing more
            connection = slow.enter_context(socket.create_connection((host, int(port))))
            connection.sendall(b"PRI * HTTP/2.0\r\n")
        for _ in range(2):
            clients = Running(scene.load(concurrency=KILLED // 2))
            clients.await_first()
            clients.kill()
        churn()
    # what a busy server has opened for itself varies; of either kind of client it would hold at least so many more
    wait_until(lambda: held_by(scene).files < before.files + KILLED, "the files of who has gone")
    wait_until(lambda: held_by(scene).threads < before.threads + KILLED, "the threads of who has gone")


@pytest.mark.fault(26)
@pytest.mark.fault(29)
def test_under_load_a_listing_is_answered_as_alone_and_a_bad_one_harms_nobody(
    scene: Scene, client: ProductClient, products: list[Product]
) -> None:
    alone = [client.ask([one])[0] for one in products]
    load = Running(scene.load(concurrency=8))
    load.await_first()
    for _ in range(10):
        answers = client.ask([*HOSTILE, *products])
        assert [bool(one.error) for one in answers[: len(HOSTILE)]] == [True, False, True, False]
        for left, right in zip(answers[len(HOSTILE) :], alone, strict=True):
            _same(left, right)
    fates = load.finish()
    assert {one.outcome for one in fates.questions} == {_lineage()}


def test_the_metrics_count_listings_errors_and_decisions(
    scene: Scene, client: ProductClient, products: list[Product]
) -> None:
    own = {"model": "product", "version": "1"}

    def counts() -> dict[str, float]:
        of_errors = {reason: _sum(scene, "ecclip_errors_total", reason=reason, **own) for reason in reasons}
        of_tasks = {task: _sum(scene, "ecclip_decisions_total", task=task, **own) for task in tasks}
        return {"listings": _sum(scene, "ecclip_listings_total", **own), **of_errors, **of_tasks}

    reasons, tasks = ("not_an_image", "nothing"), ("category", "attributes", "age_restricted")
    before = counts()
    answers = client.ask([Product(image=b"%PDF-1.7"), Product(), *products])
    assert [bool(answer.error) for answer in answers] == [True, True] + [False] * len(products)
    added = {"listings": 2 + len(products), **dict.fromkeys(reasons, 1), **dict.fromkeys(tasks, len(products))}
    wait_until(lambda: all(counts()[name] >= before[name] + more for name, more in added.items()), "the counts")

    def agree() -> bool:
        """Say whether the metrics, when all have arrived, account for every listing."""
        found, errors = counts(), _sum(scene, "ecclip_errors_total", **own)
        return all(found["listings"] == errors + found[task] for task in tasks)

    wait_until(agree, "every listing to be an error or decided by each task")
    seconds = {labels["step"]: value for labels, value in _metrics(scene)["ecclip_step_seconds_total"]}
    assert set(seconds) == {"preprocess", "towers", "heads", "decide", "respond"}
    assert min(seconds.values()) > 0


def test_a_request_is_found_in_the_log_by_the_id_that_its_answer_carries(
    scene: Scene, client: ProductClient, products: list[Product]
) -> None:
    asked = [Product(image=b"%PDF-1.7"), *products]
    names = ("shop-1", "two\nlines\x1b[2J", "")
    known = [{one.request_id for one in client.ask(asked, request_id=name)} for name in names]
    own = known.pop()
    assert known == [{name} for name in names[:2]]
    assert len(own) == 1
    for written in ("shop-1", "two?lines?[2J", own.pop()):
        line = f"request {written}: 1 of {1 + len(products)} listings have errors: not_an_image"
        wait_until(lambda line=line: line in scene.server.log.read_text(), line)  # type: ignore[misc]
