# syntax=docker/dockerfile:1
# Two stages: wheels and the environment are made in the first, the second has Python, /opt/voxgate and nothing else.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY scripts/locks/core.txt scripts/locks/core.txt
RUN python -m venv /opt/voxgate \
 && /opt/voxgate/bin/pip install --no-cache-dir --require-hashes --requirement scripts/locks/core.txt
COPY . .
RUN /opt/voxgate/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/voxgate/bin/pip uninstall --yes hatchling editables \
 && /opt/voxgate/bin/voxgate check

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 voxgate \
 && install --directory --owner voxgate --group voxgate /data
COPY --from=build /opt/voxgate /opt/voxgate
ENV PATH=/opt/voxgate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    VOXGATE_DATA=/data \
    VOXGATE_LISTEN__HOST=0.0.0.0
USER voxgate
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
ENTRYPOINT ["voxgate"]
CMD ["serve"]
