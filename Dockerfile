# syntax=docker/dockerfile:1
# Two stages: the environment is made in the first; the second has Python, /opt/voxgate and nothing else.
# About 0.47 GB: 130 MB of base image and 341 MB in /opt/voxgate (`du -sm`), most of it codecs (104 MB), numpy (73 MB),
# faker, which Litestar brings (25 MB), espeak-ng (21 MB), and what clouds and other speech servers are asked with (14 MB).

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY scripts/locks scripts/locks
RUN python -m venv /opt/voxgate \
 && /opt/voxgate/bin/pip install --no-cache-dir --require-hashes \
      -r scripts/locks/core.txt -r scripts/locks/sambert.txt -r scripts/locks/openai.txt
COPY . .
# what builds wheels stays behind; pip is kept to install plugins with. A home is not needed
RUN /opt/voxgate/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/voxgate/bin/pip uninstall --yes hatchling editables setuptools \
 && HOME=/nonexistent /opt/voxgate/bin/voxgate check

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 voxgate \
 && install --directory --owner voxgate --group voxgate /data /config
COPY --from=build /opt/voxgate /opt/voxgate
ENV PATH=/opt/voxgate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    VOXGATE_DATA=/data \
    VOXGATE_LISTEN__HOST=0.0.0.0
# a number, so that an orchestrator can see that it is not root
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
ENTRYPOINT ["voxgate"]
CMD ["serve"]
