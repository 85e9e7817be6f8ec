# One image for the gateway, the workers, the migrations and the topics.

FROM python:3.13-slim AS build
COPY requirements/runtime.txt /runtime.txt
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes --only-binary=:all: -r /runtime.txt

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin cerrojo
COPY --from=build /venv /venv
WORKDIR /app
COPY settings.py ./
COPY events events
COPY gateway gateway
COPY processes processes
COPY sql sql
COPY workers workers
RUN python -m compileall -q .
# The root file system may be read-only: what is written goes to /tmp.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 10001
CMD ["python", "-m", "gateway"]
