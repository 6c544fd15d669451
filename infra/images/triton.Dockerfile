# Triton with what the python models need: the release of infra/release.yaml, which has a python backend for Python 3.12
# and the security fixes that the embedded development server lacks. Build from the repository root:
#   docker build -f infra/images/triton.Dockerfile -t ecclip-triton .
FROM nvcr.io/nvidia/tritonserver:26.07-py3

# What the python models import, numpy 1.26 with it: the models refuse another one.
COPY requirements/serving.txt /tmp/serving.txt
RUN pip install --no-cache-dir --require-hashes -r /tmp/serving.txt

EXPOSE 8001 8002
# TRITON_CONTROL_KEY is a secret of the environment: without its key nobody loads a model, maps memory or writes a log.
CMD ["/bin/sh", "-c", "exec tritonserver --model-repository=/models --model-control-mode=explicit --load-model=product \
     --allow-http=false --strict-readiness=false --exit-timeout-secs=20 \
     --grpc-restricted-protocol=model-repository,shared-memory,logging,trace:control-key=${TRITON_CONTROL_KEY:?set it}"]
