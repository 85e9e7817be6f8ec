# One image for the gateway, the workers, the migrations, the topics and the command `cerrojo`.
# `docker build --build-arg COMMIT=$(git rev-parse HEAD) .` says in it what it was made of.

# Python 3.13.15 on Debian 13. A newer one: `docker buildx imagetools inspect python:3.13-slim`.
ARG PYTHON=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM $PYTHON AS build
WORKDIR /build
COPY requirements/runtime.txt requirements/
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes --only-binary=:all: \
       -r requirements/runtime.txt

# Argon2 for newer CPUs; each process chooses by the flags of the one that it runs on.
FROM build AS argon2
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY requirements/argon2-build.txt requirements/
COPY gateway/passwords/argon2_build.py gateway/passwords/
COPY local/argon2.py local/
RUN mkdir -p /venv/share/cerrojo && /venv/bin/python -m local.argon2 x86-64-v3

FROM $PYTHON
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin cerrojo
COPY --from=build /venv /venv
COPY --from=argon2 /venv/share/cerrojo /venv/share/cerrojo
# Docker gives these to the volumes of compose.yml, with their owner. Servers read the last two.
RUN install -d -o cerrojo -m 700 /keys /gateway-keys /step-keys \
    && install -d -o cerrojo -m 755 /postgres-keys /kafka-keys
WORKDIR /app
COPY settings.py version.py ./
COPY deploy/compose_secrets.py deploy/
COPY cerrojo cerrojo
COPY events events
COPY gateway gateway
COPY oracle oracle
COPY processes processes
COPY sql sql
COPY workers workers
# A checkout under umask 077 is for its owner alone.
RUN chmod -R a+rX . && python -m compileall -q .
RUN printf '%s\n' '#!/bin/sh' 'PYTHONPATH=/app exec /venv/bin/python -P -m cerrojo "$@"' >/venv/bin/cerrojo \
    && chmod +x /venv/bin/cerrojo
# The root file system may be read-only: what is written goes to /tmp.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# Last, as it changes with each commit.
ARG COMMIT
ENV CERROJO_COMMIT=$COMMIT
LABEL org.opencontainers.image.title="Cerrojo" \
      org.opencontainers.image.description="A login gateway that locks at exactly five" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision=$COMMIT \
      org.opencontainers.image.licenses="Apache-2.0"
# The login port, the operator port, the workers' port.
EXPOSE 3000 5000 5001
USER 10001
# The gateway's. Workers say whether they live on another port (compose.yml, deploy/cerrojo).
HEALTHCHECK --start-period=60s --start-interval=1s --interval=10s --timeout=5s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 5000, timeout=4); c.request('GET', '/healthz'); exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "gateway"]
