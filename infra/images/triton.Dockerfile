# Triton with what the python models need: the release of infra/release.yaml, which has a python backend for Python 3.12
# and the security fixes that the embedded development server lacks. infra/compose.yaml says how it is started. Build from
# the repository root:
#   docker build -f infra/images/triton.Dockerfile -t ecclip-triton .
FROM nvcr.io/nvidia/tritonserver:26.07-py3

# What the python models import, into the Python of the server: at load they compare pixels and tokens with those of the
# bundle, and refuse another Pillow or tokenizers that differs, and numpy 2.
ENV PIP_BREAK_SYSTEM_PACKAGES=1
COPY requirements/serving.txt /tmp/serving.txt
RUN pip install --no-cache-dir --require-hashes -r /tmp/serving.txt

EXPOSE 8001 8002
