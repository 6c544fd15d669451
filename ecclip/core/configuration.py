"""Settings of the machine (environment), apart from parameters of the work (params.yaml)."""

from __future__ import annotations

import json
import os
import re
import zoneinfo
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ecclip.errors import ConfigError

ServingPlatform = Literal["embedded", "onnxruntime", "onnxruntime_tensorrt", "tensorrt_plan"]
# what had another name: an environment variable that nothing reads any more would be passed over in silence
RENAMED_SETTINGS = {
    "ECCLIP_PROFILE": "ECCLIP_SERVING_PLATFORM",
    "ECCLIP_TRITON_ADDRESS": "ECCLIP_TRITON_ADDRESSES",
}


def spark_options(text: str) -> dict[str, str]:
    """Return options of Spark from JSON, or from ``spark.name=value`` separated by blanks or commas.

    A value may hold blanks and commas itself: the next option begins where the next ``spark.name=`` does.

    Raises:
        ValueError: it is neither.
    """
    if text.lstrip().startswith("{"):
        given: dict[str, Any] = json.loads(text)
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
    options = re.split(r"[\s,]+(?=spark\.[\w.-]+=)", text.strip(" \t\n,"))
    wrong = [option for option in options if not re.match(r"spark\.[\w.-]+=", option)] if text.strip() else []
    if wrong:
        raise ValueError(f"an option of Spark is spark.<name>=<value>, not {wrong[0]!r}")
    return dict(option.split("=", 1) for option in options if option)


def addresses_in(text: str) -> list[str]:
    """Return the addresses in a text, host:port each, separated by commas or blanks.

    Raises:
        ValueError: one has no port.
    """
    found = re.findall(r"[^\s,]+", text)
    wrong = [address for address in found if not re.fullmatch(r".+:\d+", address)]
    if wrong:
        raise ValueError(f"an address of a server is host:port, not {wrong[0]!r}")
    return found


class Settings(BaseSettings):
    """What differs between machines; every field is an environment variable ``ECCLIP_<NAME>``.

    A setting changes where the work is done, never the code of a stage.
    """

    model_config = SettingsConfigDict(env_prefix="ECCLIP_", frozen=True, extra="ignore")

    workspace: Path = Field(
        default_factory=Path.cwd,
        description="folder that holds dvc.yaml, params.yaml and work/; default: the current folder",
    )
    timezone: str = Field(
        "UTC",
        description="time zone of the nights, such as Europe/Berlin: a night is the date there on which its data "
        "interval starts, and ECCLIP_SCHEDULE means the time there",
    )
    run_id: str = Field("manual", description="caller: the Airflow run id, or manual")
    mlflow_tracking_uri: str | None = Field(None, description="MLflow server; default: the workspace's SQLite store")
    patience: float = Field(
        1.0,
        gt=0,
        description="factor on timeouts for local processes and servers, for slow machines",
    )
    tracking: bool = Field(True, description="send the metrics of a training to MLflow while it runs")
    tracking_niceness: int = Field(19, ge=0, le=19, description="niceness of the process that sends them")
    spark_master: str = Field("local[2]", description="where Spark runs")
    spark_conf: Annotated[dict[str, str], NoDecode] = Field(
        {}, description="any other options of Spark: JSON, or spark.name=value separated by blanks or commas"
    )
    spark_driver_memory: str = Field("3g", description="memory of the Spark driver")
    torch_threads: int = Field(2, ge=1, description="threads of training and embedding; part of what makes bytes equal")
    device: str = Field("cpu", description="torch device of training and embedding")
    train_processes: int = Field(
        1, ge=1, description="training processes of this machine; one per GPU where there are GPUs"
    )
    train_timeout_s: int = Field(600, ge=1, description="longest wait of a training process for the others, seconds")
    train_launch: list[str] = Field(
        [], description="arguments of torchrun that name the machines; default: --standalone, this one alone"
    )
    dvc_timeout_s: float = Field(
        3600.0, gt=0, description="longest time of one call of DVC, its transfers included, seconds"
    )
    dvc_push: bool = Field(False, description="each DAG pushes what it has versioned to the default DVC remote")
    triton_addresses: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="host:port of the gRPC port of every server that answers, separated by commas; "
        "default: the embedded server",
    )
    triton_control_key: SecretStr | None = Field(
        None, description="control key of the servers at triton_addresses; the embedded one makes its own"
    )
    triton_token: SecretStr | None = Field(
        None, description="token of questions; where it is set the embedded server answers those that bring it alone"
    )
    triton_tls_roots: Path | None = Field(
        None, description="PEM file of the authorities that sign the certificates of servers and clients: with it, TLS"
    )
    triton_tls_certificate: Path | None = Field(
        None,
        description="PEM file of this client's certificate; where it is set the embedded server asks every client for "
        "one (mTLS)",
    )
    triton_tls_key: Path | None = Field(None, description="PEM file of the private key of triton_tls_certificate")
    triton_tls_server_certificate: Path | None = Field(
        None, description="PEM file of the embedded server's certificate, for 127.0.0.1"
    )
    triton_tls_server_key: Path | None = Field(
        None, description="PEM file of the private key of triton_tls_server_certificate"
    )
    serving_platform: ServingPlatform = Field(
        "embedded",
        description="what runs the towers on the server: embedded is onnxruntime on a CPU, "
        "the others need a GPU and have never been executed (docs/service.md)",
    )
    serving_gpu: str = Field(
        "",
        description="name of the server's GPU (`nvidia-smi -L`), for onnxruntime_tensorrt and tensorrt_plan",
    )
    serving_engine_cache: str = Field(
        "/var/cache/ecclip/engines",
        description="folder of the server in which onnxruntime_tensorrt keeps the engines that it builds",
    )
    serving_instances: int = Field(
        2,
        ge=1,
        description="processes of a server that read photos and titles (instances of the entry model), and as many of "
        "each embedded tower, which share ECCLIP_TORCH_THREADS",
    )
    triton_home: Path | None = Field(None, description="folder of the nvidia-pytriton package (embedded server)")
    serving_python: Path | None = Field(None, description="interpreter of the python backend (numpy<2)")
    engine_queue: str = Field(
        "default", description="Airflow queue of build_engine: workers in the server's image, on the GPU that serves"
    )
    engine_pod_template: Path | None = Field(
        None, description="file of the pod that build_engine runs in (KubernetesExecutor; others need none)"
    )
    tensorrt_python: Path | None = Field(
        None, description="interpreter that has TensorRT's bindings, for build-engine; default: this one"
    )
    approval: bool = Field(
        False, description="ask a person in Airflow, between blessing and promotion, whether a night may answer"
    )
    alert_url: SecretStr | None = Field(
        None,
        description="webhook for tasks that failed permanently (JSON, `text`); default: the log",
    )
    fail_point: str = Field("", description="step of a deployment at which its process is killed; for tests")
    gpu_queue: str = Field("default", description="Airflow queue of training and embedding")
    gpu_workspace: Literal["shared", "own"] = Field(
        "shared",
        description="own: workers of gpu_queue have a workspace of their own and share nothing but the DVC remote",
    )
    gpu_pool: str = Field("default_pool", description="Airflow pool of training and embedding; of `make up`: gpu")
    gpu_pod_template: Path | None = Field(
        None, description="file of the pod that training and embedding run in (KubernetesExecutor; others need none)"
    )

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            zoneinfo.ZoneInfo(name)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
            raise ValueError(f"a time zone has a name such as Europe/Berlin, and {name!r} is none") from error
        return name

    @field_validator("spark_conf", mode="before")
    @classmethod
    def _options_of_spark(cls, given: Any) -> Any:
        return spark_options(given) if isinstance(given, str) else given

    @field_validator("triton_addresses", mode="before")
    @classmethod
    def _addresses(cls, given: Any) -> Any:
        return tuple(dict.fromkeys(addresses_in(given))) if isinstance(given, str) else given

    @property
    def triton_address(self) -> str | None:
        """The server to ask where one is enough, or None: the embedded one."""
        return self.triton_addresses[0] if self.triton_addresses else None

    @property
    def work(self) -> Path:
        """The ignored work folder; everything ecclip writes lies below it."""
        return self.workspace.resolve() / "work"

    @property
    def tracking_uri(self) -> str:
        """MLflow's address: the configured server, else the workspace's own SQLite store."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.work / 'mlflow' / 'mlflow.db'}"


def patient(seconds: float) -> float:
    """Return a timeout multiplied by this machine's ``ECCLIP_PATIENCE``."""
    return seconds * settings().patience


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process, read from the environment once.

    Raises:
        ConfigError: a setting is given by the name that it had.
    """
    for old, new in RENAMED_SETTINGS.items():
        if old in os.environ:
            raise ConfigError(
                "this setting has another name now", value=old, next_step=f"unset {old}; set {new} (docs/parameters.md)"
            )
    return Settings()


def in_workspace(path: Path) -> str:
    """Return a path as the workspace says it: what is kept names no place outside, since a workspace may be moved."""
    workspace = settings().workspace.resolve()
    return path.relative_to(workspace).as_posix() if path.is_relative_to(workspace) else str(path)
