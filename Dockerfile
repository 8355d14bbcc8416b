# docker build -t ablations .                            torch for the CPU
# docker build -t ablations --build-arg TORCH=cu130 .    torch for CUDA 13.0, or another backend that uv names;
#                                                        with TORCH= the build on PyPI
# docs/docker.md says how to run it.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm

WORKDIR /suite

# Dependencies only, so that a change of the code leaves this layer, nearly all of the image, as it is. Compiled here:
# the user below cannot keep what Python compiles, and each process of a sweep would compile torch again.
COPY pyproject.toml ./
ARG TORCH=cpu
RUN pip install --no-cache-dir uv \
    && uv pip install --system --no-cache --compile-bytecode ${TORCH:+--torch-backend "$TORCH"} \
        --requirements pyproject.toml --extra tensorboard \
    && pip uninstall --yes uv

COPY . ./
# Any user may write runs, prepared data and settings: `docker run --user` takes that of the mounted folders.
RUN pip install --no-cache-dir --no-deps --editable . \
    && python -m compileall -q ablations hydra_plugins \
    && useradd --uid 1000 --home-dir /home/ablations ablations \
    && install --directory --mode 1777 runs results exported /cache /home/ablations

# NVIDIA_DRIVER_CAPABILITIES: CUDA, and NVML, which counts the GPUs. USER: another user has no name here.
ENV ABLATIONS_CACHE=/cache \
    HOME=/home/ablations \
    USER=ablations \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER ablations

CMD ["python", "ablations/reproduce.py", "demo"]
