# camgate in a container. Written by what Docker documents; where it was written there is no Docker, so no image was built of it yet.
#
#   docker build -t camgate .
#   docker run --rm -p 8080:8080 -p 8189:8189/udp -p 8189:8189/tcp -e CAMGATE_WEBRTC__ADVERTISE=192.168.1.10 camgate
#
# 192.168.1.10 stands for the address of the machine, as viewers see it: inside, camgate knows only Docker's own. compose.yaml has
# the same, with a configuration of yours. Devices: --device /dev/video0 --group-add video.
FROM rust:1-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends libopus-dev libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev nasm pkg-config
WORKDIR /camgate
COPY . .
RUN cargo build --release --locked --bin camgate

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libopus0 libstdc++6 glib-networking \
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-x gstreamer1.0-alsa \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --user-group --groups video,audio --home-dir /nonexistent --shell /usr/sbin/nologin camgate \
    && install -d -o camgate -g camgate -m 700 /var/lib/camgate /var/cache/camgate
COPY --from=build /camgate/target/release/camgate /usr/bin/camgate
COPY pipelines /usr/share/camgate/pipelines
COPY config.toml /etc/camgate/config.toml
ENV CAMGATE_HTTP__STATE_DIR=/var/lib/camgate XDG_CACHE_HOME=/var/cache/camgate
USER camgate
VOLUME /var/lib/camgate
# Pages and WHEP; media of all viewers, one number on UDP and TCP.
EXPOSE 8080/tcp 8189/udp 8189/tcp
# By the shell alone: there is no curl in here. With [http.tls] it needs another one, such as --no-healthcheck and a check outside.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && grep -q '^HTTP/1.1 200' <&3"]
# SIGTERM ends it in an orderly way, within [shutdown] grace_seconds = 5; Docker waits for 10.
ENTRYPOINT ["/usr/bin/camgate"]
CMD ["run", "--config", "/etc/camgate/config.toml"]
