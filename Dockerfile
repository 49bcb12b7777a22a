# The synod binary in a small image: docker build -t synod . && docker run -p 8545:8545 synod dev --host 0.0.0.0
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package synod

FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* && useradd --create-home synod
COPY --from=build /src/target/release/synod /usr/local/bin/synod
USER synod
WORKDIR /home/synod
VOLUME /home/synod/data
EXPOSE 8545
ENTRYPOINT ["synod"]
CMD ["dev", "--host", "0.0.0.0", "--port", "8545", "--data-dir", "/home/synod/data"]
