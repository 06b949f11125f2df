# SPDX-License-Identifier: Apache-2.0
# Three images: `assay` has every program, `postgres` the database that they need, `watch` Prometheus and Alertmanager.
# docker-compose.yml runs them.
FROM debian:bookworm-slim AS postgres
# The same number as in the other image, as it reads the key that was made there.
# The package would make a cluster of its own; the entry point makes ours in the volume.
RUN useradd --uid 10001 --no-create-home --home-dir /var/lib/postgresql --shell /usr/sbin/nologin postgres \
 && mkdir -p /etc/postgresql-common \
 && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \
 && apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-15 >/dev/null \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o postgres -g postgres -m 700 /var/lib/postgresql
COPY docker/start-postgres /usr/local/bin/
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/15 PGHOST=/tmp
USER postgres
# A fast shutdown: sessions end, everything is written.
STOPSIGNAL SIGINT
CMD ["start-postgres"]

FROM debian:bookworm-slim AS watch
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus prometheus-alertmanager >/dev/null \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin assay \
 && install -d -o assay -g assay -m 700 /prometheus /alertmanager
COPY monitoring/prometheus /etc/assay/prometheus
COPY monitoring/alertmanager /etc/assay/alertmanager
USER assay
CMD ["prometheus", "--config.file=/etc/assay/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]

FROM debian:bookworm-slim AS build
WORKDIR /src
COPY scripts/packages.txt scripts/
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        $(sed -n '/^# To build/,/^# To run/{/^#/!p}' scripts/packages.txt) >/dev/null \
 && rm -rf /var/lib/apt/lists/*
COPY Makefile ./
COPY scripts/embed_migrations scripts/
COPY migrations migrations
COPY shared shared
COPY services services
# The packages are there: no set-up. Other warnings of other compilers are no reason to fail here.
RUN make -s bins WERROR= SETUP_STAMP=/dev/null \
 && strip --strip-debug build/plain/bin/*

# The pages, with the packages that package-lock.json names. Where a proxy answers TLS with a certificate of its own, its
# authority is in docker/ca.pem.
FROM debian:bookworm-slim AS pages
WORKDIR /src
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates nodejs npm >/dev/null \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src/services/dashboard/web
COPY services/dashboard/web/.npmrc services/dashboard/web/package.json services/dashboard/web/package-lock.json ./
COPY docker /src/docker
RUN if [ -e /src/docker/ca.pem ]; then export NODE_EXTRA_CA_CERTS=/src/docker/ca.pem; fi \
 && npm ci --silent && touch "node_modules/.assay-$(sha256sum package-lock.json | cut -c1-16)"
COPY scripts/web /src/scripts/
COPY services/dashboard/web ./
RUN mkdir -p /src/build && /src/scripts/web

FROM debian:bookworm-slim AS assay
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        libcurl4 libcyaml1 libevent-2.1-7 libevent-openssl-2.1-7 libhttp-parser2.9 libjansson4 libnghttp2-14 \
        libpcre2-8-0 libpq5 libprotobuf-c1 libsodium23 libssl3 libxgboost0 libyaml-0-2 libzstd1 tzdata >/dev/null \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin assay \
 && for name in . postgres features scoring rules ingestion retrainer shadow monitor dashboard edge assay; do \
        install -d -o assay -g assay -m 700 "/certs/$name" || exit 1; \
    done \
 && install -d -o assay -g assay -m 700 /var/lib/assay/backtests
# A catalogue or a mapping is found beside bin/.
COPY models /opt/assay/models
COPY --from=build /src/build/plain/bin /opt/assay/bin
COPY --from=pages /src/build/web /opt/assay/web
ENV PATH=/opt/assay/bin:/usr/bin:/bin ASSAY_HOME=/tmp
USER assay
CMD ["assay", "help"]
