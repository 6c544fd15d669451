"""Settings of the machine and the profile (environment), apart from parameters of the work (params.yaml)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What differs between machines; every field is an environment variable ``ECCLIP_<NAME>``.

    A profile changes settings, never code paths inside a stage.
    """

    model_config = SettingsConfigDict(env_prefix="ECCLIP_", frozen=True, extra="ignore")

    profile: Literal["embedded", "production"] = "embedded"
    workspace: Path = Field(default_factory=Path.cwd, description="folder that holds dvc.yaml, params.yaml and work/")
    dumps: str | None = Field(None, description="fsspec URL of the folder with one dump folder a night")
    run_id: str = Field("manual", description="who called: the Airflow run id, or manual")
    mlflow_tracking_uri: str | None = None
    spark_master: str = "local[2]"
    spark_driver_memory: str = "3g"
    torch_threads: int = Field(2, ge=1)
    device: str = Field("cpu", description="torch device of training and embedding")
    triton_address: str | None = Field(None, description="host:port of the gRPC port; None: the embedded server")
    triton_home: Path | None = Field(None, description="folder of the nvidia-pytriton package tree (embedded server)")
    serving_python: Path | None = Field(None, description="interpreter of the python backend (numpy<2)")
    gpu_queue: str = "default"
    gpu_pool: str = "default_pool"
    gpu_executor_config: dict[str, Any] = {}

    @property
    def work(self) -> Path:
        """The ignored work folder; everything ecclip writes lies below it."""
        return self.workspace.resolve() / "work"

    @property
    def tracking_uri(self) -> str:
        """MLflow's address: the configured server, else the workspace's own SQLite store."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.work / 'mlflow' / 'mlflow.db'}"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process, read from the environment once."""
    return Settings()
