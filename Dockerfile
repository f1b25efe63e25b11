# Three images from one source tree:
#   client      uploads, saves, serves the viewer; without OpenCV, NumPy and ONNX Runtime
#   worker      detects and paints on the CPU
#   worker-gpu  detects on an NVIDIA GPU; CUDA comes as wheels, the host needs the driver and its
#               container toolkit
# requirements/ pins every package with its hashes; a running container downloads nothing.

ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS base
# An image without Python, such as NVIDIA's CUDA images, gets the distribution's Python.
RUN command -v python3 >/dev/null || \
    (apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*)
RUN groupadd --system --gid 10001 facepaint && \
    useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin facepaint
ENV PATH=/opt/facepaint/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    ORT_DISABLE_TELEMETRY=1 \
    FACEPAINT_CONNECTION_FILE=/run/facepaint/connection.json

FROM base AS client-packages
RUN python3 -m venv /opt/facepaint
COPY requirements/client.lock /lock/
RUN --mount=type=cache,target=/root/.cache/pip pip install --quiet --require-hashes -r /lock/client.lock
# botocore ships the descriptions of all AWS services; only S3 is used.
RUN find /opt/facepaint/lib/python3*/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 -exec rm -r {} +

FROM client-packages AS worker-packages
COPY requirements/worker.lock /lock/
RUN --mount=type=cache,target=/root/.cache/pip pip install --quiet --require-hashes -r /lock/worker.lock

FROM client-packages AS worker-gpu-packages
COPY requirements/gpu.lock /lock/
RUN --mount=type=cache,target=/root/.cache/pip pip install --quiet --require-hashes -r /lock/gpu.lock

FROM base AS wheel
RUN python3 -m venv /opt/build
COPY requirements/build.lock /lock/
RUN --mount=type=cache,target=/root/.cache/pip /opt/build/bin/pip install --quiet --require-hashes -r /lock/build.lock
COPY . /src
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /dist /src

FROM client-packages AS client-installed
RUN --mount=from=wheel,source=/dist,target=/dist pip install --quiet --no-deps /dist/*.whl && pip uninstall --quiet --yes pip

FROM worker-packages AS worker-installed
RUN --mount=from=wheel,source=/dist,target=/dist pip install --quiet --no-deps /dist/*.whl && pip uninstall --quiet --yes pip

FROM worker-gpu-packages AS worker-gpu-installed
RUN --mount=from=wheel,source=/dist,target=/dist pip install --quiet --no-deps /dist/*.whl && pip uninstall --quiet --yes pip

FROM base AS facepaint
LABEL org.opencontainers.image.title="facepaint" \
      org.opencontainers.image.description="Paint or redact the faces in a video on machines other than the one that holds it." \
      org.opencontainers.image.licenses="MIT"
COPY LICENSE /opt/facepaint/LICENSE
# Nothing can be installed later. (A distribution's Python comes without pip.)
RUN python3 -m pip uninstall --quiet --yes --root-user-action=ignore pip 2>/dev/null || true
USER 10001:10001
ENTRYPOINT ["facepaint"]

FROM facepaint AS worker-gpu
# `video` is for decoding on the GPU; `utility` brings nvidia-smi.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,video,utility \
    CUDA_CACHE_PATH=/tmp/cuda
COPY --from=worker-gpu-installed /opt/facepaint /opt/facepaint
CMD ["worker", "--device", "cuda", "--queues", "detect"]

FROM facepaint AS worker
COPY --from=worker-installed /opt/facepaint /opt/facepaint
CMD ["worker"]

FROM facepaint AS client
COPY --from=client-installed /opt/facepaint /opt/facepaint
CMD ["--help"]
