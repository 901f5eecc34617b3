# syntax=docker/dockerfile:1
# Two stages: the compiler stays in the first; the second has the interpreter, the packages and nothing else of ours.
ARG PYTHON=3.13

FROM python:${PYTHON}-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE constraints.txt ./
COPY dnsserver ./dnsserver
RUN python -m venv /opt/dnsserver \
    && /opt/dnsserver/bin/python -m pip install --constraint constraints.txt . \
    && (cd / && /opt/dnsserver/bin/python -c 'import dnsserver.fast.compiled') \
    && /opt/dnsserver/bin/python -m pip uninstall --yes pip \
    && /opt/dnsserver/bin/python -m compileall -q /opt/dnsserver

FROM python:${PYTHON}-slim-trixie
COPY --from=build /opt/dnsserver /opt/dnsserver
ENV PATH=/opt/dnsserver/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, so that Kubernetes can see that it is not root (runAsNonRoot)
USER 65532:65532
EXPOSE 53 53/udp 8080 8181 9153
ENTRYPOINT ["dnsserver"]
