# The image contains only the static program: no shell and no libraries. It does not run as root.
#
#   docker build -t nym-mixnode .
#
# BUILDER_IMAGE is an image with glibc's static libraries, a C compiler and Rust 1.94 or later; the tests create one
# without an image registry. The build targets the architecture that it runs on, amd64 or arm64.
ARG BUILDER_IMAGE=rust:1.95.0-bookworm
ARG RUNTIME_IMAGE=scratch

FROM ${BUILDER_IMAGE} AS build
WORKDIR /src
COPY . .
# The program contains no times and paths of the build.
ARG SOURCE_DATE_EPOCH=0
ENV CARGO_PROFILE_RELEASE_DEBUG=false \
    CARGO_PROFILE_RELEASE_STRIP=symbols \
    RUSTFLAGS="-C target-feature=+crt-static"
# With --target, RUSTFLAGS do not apply to procedural macros, which cannot be static.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    set -eu; \
    target="$(uname -m)-unknown-linux-gnu"; \
    cargo build --release --locked --target "${target}"; \
    install -D -m 0755 "target/${target}/release/nym-mixnode" /out/nym-mixnode; \
    install -d -m 0755 /out/var /out/var/lib; \
    install -d -m 0755 -o 65532 -g 65532 /out/var/lib/nym-mixnode; \
    find /out -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH}" {} +

# hadolint ignore=DL3006
FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nym-mixnode" \
      org.opencontainers.image.description="A Sphinx mixnode for the Nym 0.9.x network, and a whole mix network in one binary" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# In one copy, which keeps the times and owners: a copy to a new folder makes it with the time of the build.
COPY --from=build /out /
# The first start creates keys and configuration in the volume; later starts use them.
ENV NYM_MIXNODE_HOME=/var/lib/nym-mixnode \
    NYM_MIXNODE_INIT_IF_MISSING=true
VOLUME ["/var/lib/nym-mixnode"]
USER 65532:65532
EXPOSE 1789/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 CMD ["/nym-mixnode", "health"]
ENTRYPOINT ["/nym-mixnode"]
CMD ["run"]
