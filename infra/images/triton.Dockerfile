# Triton with what the python models need. The release is the newest with a python backend for Python 3.12; it carries the
# security fixes of 25.07 that the embedded development server (2.51) lacks. Build from the repository root:
#   docker build -f infra/images/triton.Dockerfile -t ecclip-triton .
FROM nvcr.io/nvidia/tritonserver:25.10-py3

# The stub of this release reads numpy 2; the models check it with a known answer before they serve.
RUN pip install --no-cache-dir onnxruntime==1.23.2 tokenizers==0.22.1 pillow==12.0.0

EXPOSE 8001 8002
CMD ["tritonserver", "--model-repository=/models", "--model-control-mode=explicit", "--load-model=product", \
     "--allow-http=false", "--strict-readiness=false", "--exit-timeout-secs=20"]
