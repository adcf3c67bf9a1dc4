# The image of the gateway: the static binary and nothing else. Built by `docker build -t hale .`; tests/docs/test_image.py
# reads this file and runs what it describes in a chroot.
FROM rust:1.95-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends musl-tools python3 \
 && rustup component add llvm-tools \
 && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /src
COPY . .
RUN scripts/rootfs "$(scripts/release --static)" /rootfs

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
