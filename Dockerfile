# The image of docs/kubernetes: logscan with buckets, and kubectl for `logscan snapshot`. Runs as nobody, writes nothing
# but /tmp, so the root file system may be read-only.
FROM python:3.13-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY . /source
ENV LOGSCAN_REQUIRE_NATIVE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /logscan && /logscan/bin/pip install "/source[buckets]" && /logscan/bin/pip uninstall -y pip

FROM registry.k8s.io/kubectl:v1.34.1 AS kubectl

FROM python:3.13-slim
COPY --from=kubectl /bin/kubectl /usr/local/bin/kubectl
COPY --from=build /logscan /logscan
ENV PATH=/logscan/bin:$PATH HOME=/tmp XDG_CACHE_HOME=/tmp PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["logscan"]
