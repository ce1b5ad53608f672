# docker build -t two-stage-uncertainty .                            # CPU
# docker build -t two-stage-uncertainty --build-arg TORCH=cu128 .    # CUDA; run with --gpus all
# docs/docker.md says more.
ARG BASE=python:3.12-slim
FROM ${BASE}

# which of torch's builds: a folder of download.pytorch.org/whl, such as cpu or cu128
ARG TORCH=cpu

# make and git: the Makefile, and the commit that a run notes
RUN apt-get update \
    && apt-get install --no-install-recommends --yes git make \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 detection
WORKDIR /home/detection/code
RUN chown detection:detection .
USER detection

# what make install does, with torch's build of choice; before the code, so that a change of the
# code does not install anything anew
COPY --chown=detection:detection pyproject.toml README.md LICENSE Makefile ./
RUN python -m venv .venv \
    && .venv/bin/python -m pip install --no-cache-dir --quiet --upgrade pip \
    && .venv/bin/python -m pip install --no-cache-dir --quiet torch torchvision \
        --index-url https://download.pytorch.org/whl/${TORCH}
RUN make install

COPY --chown=detection:detection . .
# make compares times: nothing is to be installed again
RUN touch .venv/installed
ENV PATH=/home/detection/code/.venv/bin:$PATH
CMD ["make", "help"]
