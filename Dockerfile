# The image of the gateway: the trained binary, the four libraries of C that it names, and nothing else. Built by
# `docker build -t hale .`; tests/docs/test_image.py reads this file and runs what it describes in a chroot.
# Not the static build: with musl a small request needs 11 % more instructions than with glibc (docs/performance.md).
FROM rust:1.95-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rustup component add llvm-tools
WORKDIR /src
COPY . .
RUN scripts/rootfs "$(scripts/release)" /rootfs

FROM scratch
COPY --from=build /rootfs/ /
# Every address, so that a missing key is an error of the start and not a port that looks dead.
ENV HOST=0.0.0.0
USER 65532:65532
WORKDIR /app
EXPOSE 4000
STOPSIGNAL SIGTERM
ENTRYPOINT ["/hale"]
CMD ["--config", "/app/config.yaml"]
