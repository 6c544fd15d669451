"""Model control of a Triton server: load, unload, readiness."""

from __future__ import annotations

import time
from types import TracebackType

import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from ecclip.core import ServiceError, patient
from ecclip.serving.server.access import client_tls

SEE_LOG = "see the server's log: of the embedded one work/logs/triton.log"
# by judgment: several times what an idle machine takes
_LOAD_TIMEOUT_S, _UNLOAD_TIMEOUT_S, _ANSWER_TIMEOUT_S = 120.0, 30.0, 10.0
# what can run foreign code, read memory or write files; inference, health and statistics stay open to all
_RESTRICTED = "model-repository,shared-memory,logging,trace"
_KEY_NAME = "control-key"


def restricted_protocol(key: str) -> str:
    """Return the server option that requires ``key`` for models, shared memory, logging and tracing."""
    return f"--grpc-restricted-protocol={_RESTRICTED}:{_KEY_NAME}={key}"


class Control:
    """The model control of one server (explicit mode), over gRPC; ``key`` is what the server was started with."""

    def __init__(self, address: str, key: str | None = None) -> None:
        self.address = address
        self._headers = {} if key is None else {f"triton-grpc-protocol-{_KEY_NAME}": key}
        tls = client_tls()
        self._client = triton.InferenceServerClient(address, **(tls.channel() if tls else {}))

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        del self._client  # released here: the library's own clean-up fails at interpreter shutdown

    def is_live(self, within_s: float = 2.0) -> bool:
        """Whether the server answers at all, within a number of seconds."""
        try:
            return bool(self._client.is_server_live(client_timeout=within_s))
        except InferenceServerException:
            return False

    def is_ready(self, model: str, version: int) -> bool:
        """Whether the server reports a version as ready (it does so after its stub was killed, too: send a request)."""
        try:
            return bool(self._client.is_model_ready(model, str(version), client_timeout=patient(_ANSWER_TIMEOUT_S)))
        except InferenceServerException:
            return False

    def loaded(self, model: str) -> list[int]:
        """Return the versions of a model that are ready.

        Raises:
            ServiceError: the server does not answer, or refuses the key.
        """
        try:
            index = self._client.get_model_repository_index(
                headers=self._headers, client_timeout=patient(_ANSWER_TIMEOUT_S)
            )
        except InferenceServerException as error:
            raise ServiceError(
                "the server does not list its models",
                value=f"{self.address}: {error.message()}",
                next_step="check whether it runs, and its control key",
            ) from error
        return sorted(int(one.version) for one in index.models if one.name == model and one.state == "READY")

    def load(self, model: str, versions: list[int]) -> None:
        """Load a model by the policy on disk and wait until each of ``versions`` is ready.

        Raises:
            ServiceError: a version did not load; what was loaded before still serves.
        """
        try:
            self._client.load_model(model, headers=self._headers, client_timeout=patient(_LOAD_TIMEOUT_S))
        except InferenceServerException as error:
            raise ServiceError(
                "a model did not load",
                value=f"{model} {versions}: {error.message()}",
                next_step=SEE_LOG,
            ) from error
        missing = [version for version in versions if not self.is_ready(model, version)]
        if missing:
            raise ServiceError("a model version did not become ready", value=f"{model} {missing}", next_step=SEE_LOG)

    def unload(self, model: str) -> None:
        """Unload every version of a model and wait until it is gone; the models that it calls stay."""
        timeout_s = patient(_UNLOAD_TIMEOUT_S)
        try:
            self._client.unload_model(model, headers=self._headers, unload_dependents=False, client_timeout=timeout_s)
        except InferenceServerException as error:
            raise ServiceError(
                "a model did not unload", value=f"{model}: {error.message()}", next_step=SEE_LOG
            ) from error
        deadline = time.monotonic() + timeout_s
        while self.loaded(model):
            if time.monotonic() > deadline:
                raise ServiceError(
                    "a model is still loaded after its unload",
                    value=model,
                    limit=f"{timeout_s} s",
                    next_step=SEE_LOG,
                )
            time.sleep(0.05)
