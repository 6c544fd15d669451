# One image for Airflow's components, Spark drivers and training workers. Build from the repository root:
#   docker build -f infra/images/worker.Dockerfile -t ecclip-worker .
FROM python:3.11-slim-bookworm

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 ecclip

WORKDIR /opt/ecclip
COPY requirements/ requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/uv.txt \
    && uv pip install --system --no-cache --require-hashes -r requirements/production.txt
COPY pyproject.toml README.md ./
COPY ecclip/ ecclip/
COPY dags/ dags/
COPY triton_models/ triton_models/
COPY dvc.yaml params.yaml .dvcignore ./
COPY .dvc/config .dvc/config
# shop is where a volume is mounted: a new one takes over the folder with its owner
RUN uv pip install --system --no-cache --no-deps --no-build-isolation --editable . \
    && mkdir shop \
    && chown -R ecclip:ecclip /opt/ecclip

USER 1000
ENV ECCLIP_WORKSPACE=/opt/ecclip AIRFLOW__CORE__DAGS_FOLDER=/opt/ecclip/dags
ENTRYPOINT ["ecclip"]
CMD ["--help"]
