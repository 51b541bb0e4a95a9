# docker build -t oauth-proxy .
# The configuration is mounted, readable by user 10001 (or by whoever --user names):
# docker run -p 4180:4180 -v ./config.yaml:/etc/oauth-proxy/config.yaml:ro --env-file secrets.env --stop-timeout 60 oauth-proxy

# The newest Python that `make pythons` runs. Another BASE needs the same, in the same place, with the machine's
# certificates and libstdc++, but no shell; the BUILDER needs pip, a shell, and strip or apt-get.
ARG BASE=python:3.14-slim
ARG BUILDER=${BASE}
FROM ${BUILDER} AS build
WORKDIR /src
RUN command -v strip || (apt-get update -q && apt-get install -q --yes --no-install-recommends binutils)
COPY requirements.txt requirements-build.txt ./
RUN python -m venv --without-pip /opt/oauth-proxy
RUN pip --python /opt/oauth-proxy install --no-cache-dir --no-compile --require-hashes -r requirements.txt
# Half of what packages bring does not reach the image, in four steps.
# 1. Symbols, which only a debugger of C reads: a third of everything.
RUN find /opt/oauth-proxy/lib -name '*.so' -exec strip --strip-unneeded {} +
# 2. What packages bring for their own tests, and for compilers and type checkers. Metadata and licences stay.
RUN find /opt/oauth-proxy/lib -regex '.*/\(tests\|_testbase\.py\|_testcapi\..*\|test_utils\.py\|pytest_plugin\.py\|.*\.\(pyx\|pxd\|pxi\|pyi\|h\)\)' -exec rm -rf {} +
# 3. The sources of packages: they would only be there twice. Byte code must be there, because the file system is
# read-only and every start would compile everything again. A traceback still names file and line, without its text.
RUN python -m compileall -q -b /opt/oauth-proxy/lib
RUN find /opt/oauth-proxy/lib -name '*.py' -delete
# 4. pip, and what builds the wheel: they stay in this stage.
RUN python -m venv --without-pip /build
RUN pip --python /build install --no-cache-dir --require-hashes -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY config/demo.yaml config/
COPY oauth_proxy oauth_proxy
# What `oauth-proxy --version` says, because there is no .git here: docker build --build-arg VERSION=1.2.3
ARG VERSION
ENV SETUPTOOLS_SCM_PRETEND_VERSION=${VERSION}
RUN /build/bin/python -m hatchling build -t wheel -d /wheels
RUN pip --python /opt/oauth-proxy install --no-compile --no-index --no-deps --find-links /wheels frameio-oauth-proxy
# Our own sources stay beside their byte code: `oauth-proxy schema` takes its sentences from them, and a traceback
# shows them. Unchecked: byte code holds whatever time the copy gives the source, else a start would compile again.
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/oauth-proxy/lib/python3*/site-packages/oauth_proxy

FROM ${BASE}
COPY --from=build /opt/oauth-proxy /opt/oauth-proxy
ENV PATH=/opt/oauth-proxy/bin:$PATH
USER 10001:10001
EXPOSE 4180
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["oauth-proxy", "health", "/etc/oauth-proxy/config.yaml"]
ENTRYPOINT ["oauth-proxy"]
CMD ["run", "/etc/oauth-proxy/config.yaml"]
