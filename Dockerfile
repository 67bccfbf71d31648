# Two images, from one file:
#
#   docker build -t claude-manager:latest .                           the manager (the last stage)
#   docker build -t claude-dev-env:latest --target claude-dev-env .   what environments run
#
# Every base is an argument, so that a mirror or a base of your own can take its place. The bases have to be Debian 12 or
# newer; RUST_IMAGE has Cargo, NODE_IMAGE has Node.js and npm.
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm
ARG DEBIAN_IMAGE=docker.io/library/debian:bookworm-slim
ARG NODE_IMAGE=docker.io/library/node:22-bookworm-slim


# The program, linked statically: environments copy it out of the manager's image and run it in images of any age.
FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY kustomize kustomize
COPY state-repo-template state-repo-template
# The cache keeps the dependencies. The program itself is always compiled anew, as copied files keep their times, and Cargo takes an
# older time for an unchanged file.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    touch src/lib.rs src/main.rs \
    && cargo rustc --release --locked --bin claude-manager -- -C target-feature=+crt-static \
    && cp target/release/claude-manager /claude-manager


# What environments run: Claude Code, git and the usual tools, and a web IDE. The agent is no part of it: the init container
# `install-agent` of every environment brings it from the manager's image.
FROM ${NODE_IMAGE} AS claude-dev-env
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      bash build-essential ca-certificates curl fd-find file git git-lfs jq less make openssh-client patch pkg-config procps \
      python3 python3-pip python3-venv ripgrep rsync unzip vim-tiny xz-utils zip \
    && rm -rf /var/lib/apt/lists/*
# Claude Code's package brings a program for this platform. Images are immutable: a newer version is a newer image.
ARG CLAUDE_CODE_VERSION=2.1.332
RUN npm install --global --no-fund --no-audit --no-update-notifier "@anthropic-ai/claude-code@${CLAUDE_CODE_VERSION}" \
    && npm cache clean --force \
    && claude --version
# The web IDE. `--build-arg CODE_SERVER_VERSION=` builds without it: the `ide` container of an environment then says so and
# waits, and the component `without-ide` drops it.
ARG CODE_SERVER_VERSION=4.139.1
RUN if [ -n "${CODE_SERVER_VERSION}" ]; then \
      release="code-server-${CODE_SERVER_VERSION}-linux-$(dpkg --print-architecture)" \
      && mkdir -p /opt/code-server \
      && { curl -fsSL --retry 3 -o /tmp/code-server.tar.gz \
             "https://github.com/coder/code-server/releases/download/v${CODE_SERVER_VERSION}/${release}.tar.gz" \
           || { echo "code-server ${CODE_SERVER_VERSION} could not be downloaded; build without it by --build-arg CODE_SERVER_VERSION=" >&2; exit 1; }; } \
      && tar -xzf /tmp/code-server.tar.gz -C /opt/code-server --strip-components=1 --no-same-owner \
      && rm /tmp/code-server.tar.gz \
      && ln -s /opt/code-server/bin/code-server /usr/local/bin/code-server \
      && code-server --version; \
    fi
# Git over SSH wants a name for the user that environments run as; the official Node.js image has one.
RUN getent passwd 1000 > /dev/null \
    || { groupadd --gid 1000 claude && useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash claude; }
USER 1000:1000
WORKDIR /workspace
CMD ["claude"]


# What the manager needs beside its own program: a shell, git, the SSH client, CA certificates.
FROM ${DEBIAN_IMAGE} AS system
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      busybox-static ca-certificates git openssh-client \
    && rm -rf /var/lib/apt/lists/*
COPY kubernetes/image/rootfs.sh /
RUN sh /rootfs.sh /rootfs


# The manager, and the image of the init container of environments (`claude-manager agent install DIR`).
FROM scratch AS claude-manager
COPY --from=system /rootfs/ /
COPY --from=build /claude-manager /usr/local/bin/claude-manager
LABEL org.opencontainers.image.title="Claude Manager" \
      org.opencontainers.image.description="GitOps-first management of Claude Code development environments on Kubernetes" \
      org.opencontainers.image.licenses="MIT"
# 0.0.0.0, or `docker run -p 3000:3000` would reach nothing; every call needs a token there as everywhere.
ENV PATH=/usr/local/bin:/usr/bin:/bin \
    HOME=/app \
    NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=3000 \
    DATA_DIR=/app/data
WORKDIR /app
USER 1000:1000
EXPOSE 3000
ENTRYPOINT ["claude-manager"]
