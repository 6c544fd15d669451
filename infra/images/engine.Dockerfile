# Builds TensorRT engines on the GPU that serves: the image of the server, with a worker beside it. Airflow's task
# build_engine runs here (its queue: ECCLIP_ENGINE_QUEUE). Build from the repository root:
#   docker build -f infra/images/engine.Dockerfile -t ecclip-engine .
FROM nvcr.io/nvidia/tritonserver:26.07-py3

# the system's Python is that of the server: what it lacks is put beside it
ENV PIP_BREAK_SYSTEM_PACKAGES=1 UV_BREAK_SYSTEM_PACKAGES=1
WORKDIR /opt/ecclip
COPY requirements/ requirements/
# the image's own Python gets the bindings to the image's TensorRT; the worker has an environment of its own
RUN pip install --no-cache-dir --require-hashes -r requirements/uv.txt \
    && uv pip install --system --no-cache --no-deps --require-hashes -r requirements/tensorrt.txt \
    && uv venv --python /usr/bin/python3 /opt/worker \
    && uv pip install --python /opt/worker/bin/python --no-cache --require-hashes -r requirements/production.txt
COPY pyproject.toml README.md ./
COPY ecclip/ ecclip/
COPY dags/ dags/
COPY triton_models/ triton_models/
COPY dvc.yaml params.yaml .dvcignore ./
COPY .dvc/config .dvc/config
RUN uv pip install --python /opt/worker/bin/python --no-cache --no-deps --no-build-isolation --editable . \
    && useradd --create-home --non-unique --uid 1000 ecclip \
    && mkdir shop \
    && chown -R 1000 /opt/ecclip

USER 1000
ENV PATH=/opt/worker/bin:$PATH ECCLIP_WORKSPACE=/opt/ecclip AIRFLOW__CORE__DAGS_FOLDER=/opt/ecclip/dags \
    ECCLIP_SERVING_PLATFORM=tensorrt_plan ECCLIP_TENSORRT_PYTHON=/usr/bin/python3
ENTRYPOINT ["ecclip"]
CMD ["--help"]
