# The SDK with TensorRT for a Jetson with JetPack 6.1 or 6.2. Not run by its authors, who have no Jetson.
#
#   docker build --file examples/docker/jetpack6.Dockerfile --build-arg BASE=IMAGE --tag hot-sdk .
#   docker run --rm --runtime nvidia --volume "$PWD:/work" \
#       --volume /etc/nv_tegra_release:/etc/nv_tegra_release:ro hot-sdk
#
# On the board, in a clone. The release file says which JetPack the container runs on. IMAGE is NVIDIA's l4t-jetpack with the tag r36.4.0, by its full name in the NGC
# catalog: CUDA 12.6 and TensorRT 10.3 for Python 3.10.
ARG BASE=l4t-jetpack:r36.4.0
FROM ${BASE}

ENV PATH=/opt/hot/bin:/usr/local/cuda/bin:$PATH CUDA_ROOT=/usr/local/cuda

# Versions are those of the JetPack.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        g++ python3-dev python3-libnvinfer python3-venv \
    && rm -rf /var/lib/apt/lists/*

COPY . /src
# TensorRT is a package of the system's Python, and PyCUDA is built from source. NumPy 1 leaves the way open
# to the onnxruntime-gpu of the Jetson AI Lab.
RUN python3 -m venv --system-site-packages /opt/hot \
    && pip install --no-cache-dir /src "numpy<2" rich==15.0.0 \
    && pip install --no-cache-dir pycuda==2026.1 \
    && rm -rf /src

WORKDIR /work
CMD ["hot-doctor"]
