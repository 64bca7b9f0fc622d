# The SDK with TensorRT for a PC with an NVIDIA GPU. Not run by its authors.
#
#   docker build --file examples/docker/x86-tensorrt.Dockerfile --build-arg BASE=IMAGE --tag hot-sdk .
#   docker run --rm --gpus all --volume "$PWD:/work" hot-sdk
#
# In a clone. IMAGE is NVIDIA's tensorrt with the tag 25.01-py3 (TensorRT 10, CUDA 12, Python 3.12), by its full
# name in the NGC catalog. Tags from 25.08 on have CUDA 13, which needs driver 580 or newer.
ARG BASE=tensorrt:25.01-py3
FROM ${BASE}

ENV PATH=/opt/hot/bin:/usr/local/cuda/bin:$PATH CUDA_ROOT=/usr/local/cuda

# Versions are those of the image's Ubuntu.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

COPY . /src
# TensorRT's Python package is the image's, and PyCUDA is built from source.
RUN python3 -m venv --system-site-packages /opt/hot \
    && pip install --no-cache-dir /src rich==15.0.0 \
    && pip install --no-cache-dir pycuda==2026.1 \
    && rm -rf /src

WORKDIR /work
CMD ["hot-doctor"]
