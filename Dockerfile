# syntax=docker/dockerfile:1
# Two stages: the compiler stays in the first; the second has the interpreter, the packages and nothing else of ours.
# Packages come by hash (requirements/), base images by the digest of their index; Dependabot moves those.
FROM docker.io/library/python:3.13-trixie@sha256:82c46c08c991d3d3ff10476ac5e386c2c28f27bbd3985a02c5e39fe99ab272eb AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements/build.txt requirements/runtime.txt requirements/
COPY tools/slim.py tools/
# the packages apart from our own wheel, so that a change of ours does not fetch them again
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes -r requirements/build.txt \
    && python -m venv --without-pip /opt/dnsserver \
    && /opt/build/bin/python -m pip --python /opt/dnsserver/bin/python install --no-compile --require-hashes --no-deps \
       -r requirements/runtime.txt \
    && /opt/build/bin/python tools/slim.py /opt/dnsserver/lib/python3*/site-packages
COPY pyproject.toml setup.py README.md LICENSE ./
COPY dnsserver dnsserver
RUN /opt/build/bin/python -m pip wheel --no-build-isolation --no-deps --wheel-dir /opt/wheels . \
    && /opt/build/bin/python -m pip --python /opt/dnsserver/bin/python install --no-compile --no-index --no-deps /opt/wheels/*.whl \
    && /opt/dnsserver/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/dnsserver/lib
# no slow image by mistake: without a compiler the wheel would be built all the same
RUN /opt/dnsserver/bin/dnsserver -version | grep -q ', compiled$'

FROM docker.io/library/python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="dnsserver" \
      org.opencontainers.image.description="A CoreDNS-compatible authoritative DNS server for KubeVirt virtual machines" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/dnsserver /opt/dnsserver
ENV PATH=/opt/dnsserver/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# a number, so that Kubernetes can see that it is not root (runAsNonRoot)
USER 65532:65532
WORKDIR /
EXPOSE 53/tcp 53/udp 8080/tcp 8181/tcp 9153/tcp
ENTRYPOINT ["/opt/dnsserver/bin/dnsserver"]
