# docker build -t oauth-proxy .
# The configuration is mounted, readable by user 10001 (or by whoever --user names):
# docker run -p 4180:4180 -v ./config.yaml:/etc/oauth-proxy/config.yaml:ro --env-file secrets.env --stop-timeout 60 oauth-proxy

# 3.11 is the Python that the tests run with.
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements.txt requirements-build.txt ./
RUN python -m venv --without-pip /opt/oauth-proxy
RUN pip --python /opt/oauth-proxy install --no-cache-dir --require-hashes -r requirements.txt
RUN pip install --no-cache-dir --require-hashes -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY config/demo.yaml config/
COPY oauth_proxy oauth_proxy
RUN python -m hatchling build -t wheel -d /wheels
RUN pip --python /opt/oauth-proxy install --no-index --no-deps --find-links /wheels frameio-oauth-proxy

FROM python:3.11-slim
COPY --from=build /opt/oauth-proxy /opt/oauth-proxy
ENV PATH=/opt/oauth-proxy/bin:$PATH
USER 10001:10001
EXPOSE 4180
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["oauth-proxy", "health", "/etc/oauth-proxy/config.yaml"]
ENTRYPOINT ["oauth-proxy"]
CMD ["run", "/etc/oauth-proxy/config.yaml"]
