# Beholder in a container. Build it with the address of the package index that carries the torch
# build you want; the CPU index is named on PyTorch's own installation page:
#
#   docker build --build-arg TORCH_INDEX=<address of the CPU index> --tag beholder .
#
# The argument is required on purpose: the default index answers with a CUDA build of several
# gigabytes on x86-64. EXTRAS are those of pyproject.toml that go in: what a setting may ask for
# is there by default, and what only some trainings need is not.

FROM python:3.11-slim-bookworm AS wheel
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY constraints.txt ./
RUN python -m venv /opt/tools && /opt/tools/bin/pip install --constraint constraints.txt hatchling
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY app app
COPY index index
COPY migrations migrations
COPY model model
RUN /opt/tools/bin/python -m hatchling build --target wheel --directory /dist


FROM python:3.11-slim-bookworm AS environment
ARG TORCH_INDEX
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/beholder
ENV PATH=/opt/beholder/bin:$PATH
# Alone, because that index carries only some versions of what torch needs; the next step adds it.
RUN pip install --no-deps torch==2.13.0 \
        --index-url "${TORCH_INDEX:?name the index of the torch build, see the top of the Dockerfile}"
# The dependencies alone, so that a change of the code leaves this layer as it is.
WORKDIR /build
COPY pyproject.toml constraints.txt ./
ARG EXTRAS="heic milvus postgres s3"
RUN python -c "import os, tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = (p['optional-dependencies'][name] for name in os.environ['EXTRAS'].split()); \
print(*p['dependencies'], *(one for extra in extras for one in extra), sep='\n')" > requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt
COPY --from=wheel /dist /dist
RUN pip install --no-deps /dist/*.whl


FROM python:3.11-slim-bookworm
# A fixed number, so that a bind-mounted data folder can be given to it from outside.
RUN groupadd --gid 10001 beholder \
    && useradd --uid 10001 --gid beholder --no-create-home --home-dir /data --shell /usr/sbin/nologin beholder \
    && install --directory --owner=beholder --group=beholder /data
COPY --from=environment /opt/beholder /opt/beholder
# Temporary files stay on the volume: the root file system may be read-only, and an upload is
# renamed into place, which only works within one file system.
ENV PATH=/opt/beholder/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BEHOLDER_DATA_DIR=/data \
    TMPDIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
# The first start loads the model, hence the grace; Python asks, since the image has no curl.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
ENTRYPOINT ["beholder"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
