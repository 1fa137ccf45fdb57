# vapi-sessions with locked dependencies. Build: docker build --tag vapi-sessions .
FROM python:3.12-slim

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app
COPY requirements/product.txt requirements/product.txt
# The lock is complete; with dependencies, pip would look for an unlocked `sqlalchemy[asyncio]`.
RUN python -m pip install --no-deps --require-hashes --requirement requirements/product.txt

COPY LICENSE NOTICE ./
COPY src src
COPY flows flows
COPY sql sql
# Without a build: its tools are not part of the locked dependencies. Compiled once, because the user of the image cannot write here.
ENV PYTHONPATH=/app/src:/app
RUN python -m compileall -q src flows \
    && printf '#!/usr/bin/env python\nfrom vapi_sessions.__main__ import main\n\nmain()\n' > /usr/local/bin/vapi-sessions \
    && chmod 0755 /usr/local/bin/vapi-sessions \
    && useradd --uid 10001 --create-home vapi \
    && install -d -o vapi -g vapi -m 0700 /data

# The warehouse, and the database of a Prefect server that `schedule` starts.
USER 10001
VOLUME /data
ENV VAPI_WAREHOUSE=/data/warehouse \
    PREFECT_HOME=/data/prefect \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=1 \
    MAX_AGE=2h

# Unhealthy when the warehouse is older than MAX_AGE. A long first sync is not complete for hours, so it has a day.
HEALTHCHECK --interval=5m --timeout=60s --start-period=24h \
    CMD vapi-sessions status --max-age "$MAX_AGE" > /dev/null

# No entry point: Prefect's workers start the image with a command of their own.
CMD ["vapi-sessions", "schedule", "--every", "15m"]
