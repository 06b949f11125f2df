-- SPDX-License-Identifier: Apache-2.0
-- What was answered. known_at is that of transaction_ids, so a lookup goes id -> known_at -> decision, and one
-- decision per id is certain although the table is partitioned by time.
CREATE TABLE decisions (
    account           integer NOT NULL,
    transaction_id    text COLLATE "C" NOT NULL,
    known_at          timestamptz NOT NULL,
    decided_at        timestamptz NOT NULL,
    n                 bigint,            -- place in the log; NULL when features was away
    action            smallint NOT NULL, -- 0 approve, 1 challenge, 2 review, 3 decline
    score             double precision,  -- calibrated probability; NULL without a model
    margin            real,
    p_allow           double precision NOT NULL,
    model_version     text NOT NULL,
    ruleset_version   text NOT NULL,
    arm               text NOT NULL,
    plan              bytea NOT NULL,    -- names the vector's columns; empty when degraded
    vector            bytea NOT NULL,    -- little-endian float32
    amount_base_minor bigint NOT NULL,
    record            bytea NOT NULL,    -- packed assay.v1.DecisionRecord
    PRIMARY KEY (account, transaction_id, known_at)
) PARTITION BY RANGE (known_at);
CREATE TABLE decisions_default PARTITION OF decisions DEFAULT;

-- Idempotency-Key, by account and route. status is NULL while the first request is under way.
CREATE TABLE idempotency_keys (
    account      integer NOT NULL,
    route        text NOT NULL,
    key          text COLLATE "C" NOT NULL,
    payload_hash bytea NOT NULL,
    status       integer,
    response     bytea,
    started_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (account, route, key)
);
CREATE INDEX idempotency_keys_expires ON idempotency_keys (expires_at);

GRANT SELECT, INSERT ON decisions TO assay_ingestion;
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO assay_ingestion;
GRANT SELECT ON decisions TO assay_rules, assay_monitor, assay_retrainer, assay_dashboard;
