-- SPDX-License-Identifier: Apache-2.0
-- Who may do what: one role per service, accounts, their keys, and the audit trail.
--
-- Migrations are numbered, forward-only, one transaction each, and never edited once merged: `assay migrate`
-- compares the checksum of what it applied. Each table grants its rights where it is made. A service connects
-- as a login that is a member of its role, and takes the role with SET ROLE.

DO $$
DECLARE
    service text;
BEGIN
    FOREACH service IN ARRAY ARRAY['ingestion', 'features', 'scoring', 'rules', 'monitor', 'retrainer', 'dashboard']
    LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', 'assay_' || service);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- roles belong to the whole cluster: another database has made it
        END;
    END LOOP;
END $$;

-- An account is a number inside (it is part of every key) and a name outside.
CREATE TABLE accounts (
    account           integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name              text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    -- 'simulated': its requests carry known_at, so that years of data can be replayed in minutes
    clock             text NOT NULL DEFAULT 'live' CHECK (clock IN ('live', 'simulated')),
    deadline_floor_ms integer NOT NULL DEFAULT 10 CHECK (deadline_floor_ms > 0),
    deadline_cap_ms   integer NOT NULL DEFAULT 5000 CHECK (deadline_cap_ms >= deadline_floor_ms),
    allow_numeric_ids boolean NOT NULL DEFAULT false, -- card-like digits are fine in id fields
    created_at        timestamptz NOT NULL DEFAULT now()
);

-- The secret itself is shown once, when it is made; here is its SHA-256. It has 190 bits of entropy, so a slow
-- hash would add nothing but latency.
CREATE TABLE api_keys (
    prefix        text COLLATE "C" PRIMARY KEY CHECK (prefix ~ '^[0-9a-f]{8}$'),
    account       integer NOT NULL REFERENCES accounts,
    secret_sha256 bytea NOT NULL CHECK (octet_length(secret_sha256) = 32),
    scopes        text[] NOT NULL,
    rate_per_s    integer NOT NULL DEFAULT 0 CHECK (rate_per_s >= 0), -- 0: no limit
    burst         integer NOT NULL DEFAULT 0 CHECK (burst >= 0),
    note          text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,
    revoked_at    timestamptz
);
CREATE INDEX api_keys_account ON api_keys (account);

-- Only ever added to.
CREATE TABLE audit (
    id      bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at      timestamptz NOT NULL DEFAULT now(),
    account integer,
    actor   text NOT NULL,
    action  text NOT NULL, -- 'key.create', 'model.promote', ...
    subject text NOT NULL DEFAULT '',
    detail  jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_at ON audit (at);

-- Those who keep a copy in memory hear of rare changes by NOTIFY on a channel, which a trigger sends, so that
-- no writer can forget it. Never put this on a table of the hot path: a COMMIT with NOTIFY takes a lock that
-- the whole database shares.
CREATE FUNCTION notify_channel() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(TG_ARGV[0], '');
    RETURN NULL;
END $$;

CREATE TRIGGER accounts_notify AFTER INSERT OR UPDATE OR DELETE ON accounts
    FOR EACH STATEMENT EXECUTE FUNCTION notify_channel('keys');
CREATE TRIGGER api_keys_notify AFTER INSERT OR UPDATE OR DELETE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION notify_channel('keys');

GRANT SELECT ON accounts TO assay_ingestion, assay_features, assay_scoring, assay_rules, assay_monitor,
    assay_retrainer, assay_dashboard;
GRANT SELECT ON api_keys TO assay_ingestion;
GRANT INSERT ON audit TO assay_ingestion, assay_features, assay_scoring, assay_rules, assay_monitor,
    assay_retrainer, assay_dashboard;
GRANT SELECT ON audit TO assay_monitor, assay_dashboard;
