# A worker that trains and embeds in a workspace of its own: Celery's gpu-worker in infra/compose.celery.yaml, or a pod of
# infra/kubernetes/gpu-pod.yaml. Build from the repository root:
#   docker build -f infra/images/gpu-worker.Dockerfile -t ecclip-gpu-worker .
FROM python:3.11-slim-bookworm

WORKDIR /opt/ecclip
COPY requirements/ requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/uv.txt \
    && uv pip install --system --no-cache --require-hashes -r requirements/worker.txt
COPY pyproject.toml README.md ./
COPY ecclip/ ecclip/
COPY dags/ dags/
COPY triton_models/ triton_models/
COPY dvc.yaml params.yaml .dvcignore ./
COPY .dvc/config .dvc/config
COPY infra/images/gpu-worker.sh /usr/local/bin/gpu-worker
# shop and remote are where volumes are mounted: a new one takes over the folder with its owner
RUN uv pip install --system --no-cache --no-deps --no-build-isolation --editable . \
    && useradd --create-home --uid 1000 ecclip \
    && mkdir shop remote \
    && chown -R ecclip:ecclip /opt/ecclip

USER 1000
ENV ECCLIP_WORKSPACE=/opt/ecclip/shop AIRFLOW__CORE__DAGS_FOLDER=/opt/ecclip/dags
ENTRYPOINT ["gpu-worker"]
