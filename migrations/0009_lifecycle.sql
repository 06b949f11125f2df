-- SPDX-License-Identifier: Apache-2.0
-- The life of a model: how it was trained, what it was held to, and the experiments that it had to pass.

DO $$
BEGIN
    CREATE ROLE assay_shadow NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- roles belong to the whole cluster: another database has made it
END $$;

-- Ed25519 over the bundle's SHA-256, and the key that made it; both NULL for a bundle that nobody signed.
ALTER TABLE models
    ADD COLUMN signature bytea CHECK (octet_length(signature) = 64),
    ADD COLUMN signer    bytea CHECK (octet_length(signer) = 32),
    ADD CONSTRAINT models_signed CHECK ((signature IS NULL) = (signer IS NULL));

-- Of previous_champion: false once a rollback left it, so that a second rollback does not swing back.
ALTER TABLE aliases ADD COLUMN is_way_back boolean NOT NULL DEFAULT true;

-- What each process serves, as it says itself: a promotion is in effect once all of them do. A row that has not been
-- renewed for ten seconds is of a process that is no more.
CREATE TABLE serving (
    process text NOT NULL,                  -- any name that no other process has
    name    text NOT NULL,
    alias   text NOT NULL,
    version bigint NOT NULL,
    at      timestamptz NOT NULL,
    PRIMARY KEY (process, name, alias)
);

-- When a name is retrained. `cron` has five fields and is read in `zone`, an IANA name.
CREATE TABLE retrain_schedules (
    name       text PRIMARY KEY,
    cron       text NOT NULL,
    zone       text NOT NULL DEFAULT 'UTC',
    settings   jsonb NOT NULL DEFAULT '{}', -- of the run: see training_runs
    is_enabled boolean NOT NULL DEFAULT true,
    fired_at   timestamptz,                 -- the scheduled time that made the last run
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- One run of training. `checkpoint` is what a run that is taken up again does not do again.
CREATE TABLE training_runs (
    run          bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name         text NOT NULL,
    cause        text NOT NULL CHECK (cause IN ('schedule', 'request', 'drift')),
    reason       text NOT NULL DEFAULT '',
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    as_of        timestamptz,               -- the run's "now": what became known later is not used; NULL: its start
    settings     jsonb NOT NULL DEFAULT '{}',
    state        text NOT NULL DEFAULT 'queued' CHECK (state IN
        ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    is_cancelled boolean NOT NULL DEFAULT false, -- somebody asked for it
    attempts     integer NOT NULL DEFAULT 0,
    stage        text NOT NULL DEFAULT '',
    progress     real NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    checkpoint   jsonb NOT NULL DEFAULT '{}',
    started_at   timestamptz,
    ended_at     timestamptz,
    version      bigint REFERENCES models,  -- what it made
    message      text NOT NULL DEFAULT ''   -- why it failed
);
CREATE INDEX training_runs_open ON training_runs (run) WHERE state IN ('queued', 'running');

-- A candidate beside the champion: 'shadow' scores everything and decides nothing, 'ab' decides for a share of
-- the customers.
CREATE TABLE experiments (
    experiment bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name       text NOT NULL,
    stage      text NOT NULL CHECK (stage IN ('shadow', 'ab')),
    state      text NOT NULL DEFAULT 'running' CHECK (state IN
        ('running', 'passed', 'failed', 'inconclusive', 'stopped')),
    champion   bigint NOT NULL REFERENCES models,
    candidate  bigint NOT NULL REFERENCES models,
    share      double precision NOT NULL DEFAULT 0 CHECK (share BETWEEN 0 AND 1), -- of customers, to the candidate
    salt       bigint NOT NULL DEFAULT 0,   -- of the arm: another experiment draws other customers
    design     jsonb NOT NULL,
    progress   jsonb NOT NULL DEFAULT '{}', -- of the sequential test: looks and what was seen
    started_at timestamptz NOT NULL,
    ended_at   timestamptz,
    ended_by   text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX experiments_running ON experiments (name, stage) WHERE state = 'running';
CREATE TRIGGER experiments_notify AFTER INSERT OR UPDATE OR DELETE ON experiments
    FOR EACH STATEMENT EXECUTE FUNCTION notify_channel('models');

-- What was found about a version at a gate, with the figures. Only ever added to.
CREATE TABLE verdicts (
    verdict    bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    version    bigint NOT NULL REFERENCES models,
    experiment bigint REFERENCES experiments,
    stage      text NOT NULL CHECK (stage IN ('validation', 'shadow', 'ab', 'guardrail')),
    gate       text NOT NULL, -- 'golden_rows', 'average_precision', ...
    outcome    text NOT NULL CHECK (outcome IN ('pass', 'fail', 'inconclusive')),
    reason     text NOT NULL DEFAULT '',
    evidence   jsonb NOT NULL DEFAULT '{}',
    at         timestamptz NOT NULL
);
CREATE INDEX verdicts_version ON verdicts (version, verdict);

-- What candidates would have answered. known_at is the transaction's; `action` is by the candidate's thresholds.
CREATE TABLE shadow_scores (
    version        bigint NOT NULL,
    account        integer NOT NULL,
    transaction_id text COLLATE "C" NOT NULL,
    known_at       timestamptz NOT NULL,
    margin         real NOT NULL,
    score          double precision NOT NULL,
    action         smallint NOT NULL,
    PRIMARY KEY (version, account, transaction_id, known_at)
) PARTITION BY RANGE (known_at);
CREATE TABLE shadow_scores_default PARTITION OF shadow_scores DEFAULT;

-- How far those who follow a growing table have come: one row each, moved in the same transaction as what they made
-- of it.
CREATE TABLE followers (
    follower   text PRIMARY KEY,
    position   jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- The online model of a name: its packed weights, after the label at `n` of the log.
CREATE TABLE online_models (
    name       text PRIMARY KEY,
    n          bigint NOT NULL,
    labels     bigint NOT NULL, -- that it learned from
    state      bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- The control slice: a share of the declines by score that is let through, so that they get labels. No row: off.
CREATE TABLE control_slices (
    account          integer PRIMARY KEY, -- 0: every account without a row of its own
    share            double precision NOT NULL CHECK (share >= 0 AND share <= 0.5),
    amount_most      bigint NOT NULL CHECK (amount_most > 0), -- minor units of the base currency, of one payment
    card_per_day     integer NOT NULL DEFAULT 1,
    merchant_per_day integer NOT NULL DEFAULT 10,
    count_per_day    integer NOT NULL DEFAULT 1000,
    amount_per_day   bigint NOT NULL,
    key              bytea NOT NULL CHECK (octet_length(key) = 16), -- of the keyed hash over entity and day
    updated_at       timestamptz NOT NULL DEFAULT now()
);
-- What of a day's caps is used up, by kind: 'all', 'card', 'merchant'.
CREATE TABLE control_slice_used (
    account integer NOT NULL,
    day     date NOT NULL,
    kind    text NOT NULL,
    entity  text COLLATE "C" NOT NULL,
    count   integer NOT NULL,
    amount  bigint NOT NULL,
    PRIMARY KEY (account, day, kind, entity)
);

GRANT SELECT ON retrain_schedules, training_runs, experiments, verdicts, shadow_scores, followers, online_models,
    control_slices, control_slice_used TO assay_monitor, assay_dashboard, assay_retrainer;
GRANT INSERT, UPDATE, DELETE ON retrain_schedules TO assay_retrainer;
GRANT INSERT, UPDATE ON training_runs, experiments, followers, online_models TO assay_retrainer;
GRANT INSERT ON verdicts TO assay_retrainer;
GRANT INSERT ON training_runs TO assay_monitor;
GRANT SELECT ON experiments TO assay_scoring, assay_features;
GRANT SELECT, INSERT, UPDATE, DELETE ON serving TO assay_scoring;
GRANT SELECT ON serving TO assay_monitor, assay_dashboard, assay_retrainer;
GRANT SELECT ON online_models, control_slices TO assay_ingestion;
GRANT SELECT, INSERT, UPDATE ON control_slice_used TO assay_ingestion;
-- Shadow scoring reads what was served and writes what it found, and nothing else.
GRANT SELECT ON decisions, plans, models, aliases, experiments, accounts TO assay_shadow;
GRANT SELECT, INSERT ON shadow_scores TO assay_shadow;
GRANT SELECT, INSERT, UPDATE ON followers TO assay_shadow;
