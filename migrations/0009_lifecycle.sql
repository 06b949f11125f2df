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

-- The online model of a name: its packed weights, after what the entries up to `n` of the log taught; shared/onlinestore reads
-- and writes it. Ingestion scores with it when scoring cannot.
CREATE TABLE online_models (
    name       text PRIMARY KEY,
    n          bigint NOT NULL, -- rises with every change: by it a reader sees that there is one
    labels     bigint NOT NULL, -- that it learned from
    reference  bigint NOT NULL REFERENCES models, -- whose features and histograms rows are encoded by
    challenge  double precision NOT NULL DEFAULT 2, -- its own thresholds; all 2: it is not to decide anything yet
    review     double precision NOT NULL DEFAULT 2,
    decline    double precision NOT NULL DEFAULT 2,
    state      bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Payments that are to teach the online model that they were good, once they are old enough and nobody has said
-- otherwise: a drawn share of all.
CREATE TABLE online_pending (
    name           text NOT NULL,
    account        integer NOT NULL,
    known_at       timestamptz NOT NULL,
    n              bigint NOT NULL, -- in the log
    transaction_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (name, account, known_at, n)
);

-- The control slice: a share of the declines by score that is let through, so that they get labels
-- (shared/policy/control.h). No row: off.
CREATE TABLE control_slices (
    account          integer PRIMARY KEY, -- 0: every account without a row of its own
    share            double precision NOT NULL CHECK (share >= 0 AND share <= 0.5),
    amount_most      bigint NOT NULL CHECK (amount_most > 0), -- minor units of the base currency, of one payment
    card_per_day     integer NOT NULL DEFAULT 1 CHECK (card_per_day > 0),
    merchant_per_day integer NOT NULL DEFAULT 10 CHECK (merchant_per_day > 0),
    count_per_day    integer NOT NULL DEFAULT 1000 CHECK (count_per_day > 0),
    amount_per_day   bigint NOT NULL CHECK (amount_per_day > 0),
    key              bytea NOT NULL CHECK (octet_length(key) = 16), -- of the keyed hash over entity and day
    updated_at       timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER control_slices_notify AFTER INSERT OR UPDATE OR DELETE ON control_slices
    FOR EACH STATEMENT EXECUTE FUNCTION notify_channel('slice');
-- What was let through in a day (UTC, of known_at), by kind: 'all', 'card', 'merchant'.
CREATE TABLE control_slice_used (
    account integer NOT NULL,
    day     date NOT NULL,
    kind    text NOT NULL,
    entity  text COLLATE "C" NOT NULL, -- '' for 'all'
    count   integer NOT NULL,
    amount  bigint NOT NULL,
    PRIMARY KEY (account, day, kind, entity)
);
-- The payment by which a customer stands in the frame on a day, and what was said of it: the first for which
-- there was room. Asked again, as by a retry, the same is said; of the customer's later ones: no.
CREATE TABLE control_slice_frame (
    account        integer NOT NULL,
    day            date NOT NULL,
    customer_id    text COLLATE "C" NOT NULL,
    transaction_id text COLLATE "C" NOT NULL,
    p_allow        double precision NOT NULL,
    is_allowed     boolean NOT NULL,
    PRIMARY KEY (account, day, customer_id)
);

-- Claims room in the slice for payments that the score declined, in their order, each with its draw. One row
-- for each; p_allow 0: not in the frame. The same rows are locked and written whichever way a draw went, so that
-- no failure on the way can depend on it. Claims of one account and day follow one another. A claim need not be
-- on the disk before the decision that it is for, and that flushes what came before it.
CREATE FUNCTION claim_control_slice(accounts int4[], ids text[], days int4[], customers text[], cards text[],
                                    merchants text[], amounts int8[], shares float8[], draws boolean[])
    RETURNS TABLE (ord int4, p_allow float8, is_allowed boolean) LANGUAGE plpgsql AS $$
DECLARE
    item     record;
    caps     control_slices;
    seen     control_slice_frame;
    has_room boolean;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '200ms', true);
    INSERT INTO control_slice_used AS u (account, day, kind, entity, count, amount)
        SELECT DISTINCT a, date '1970-01-01' + d, 'all', '', 0, 0 FROM unnest(accounts, days) AS x(a, d)
        ORDER BY 1, 2
        ON CONFLICT (account, day, kind, entity) DO UPDATE SET count = u.count;
    FOR item IN
        SELECT x.account, x.id, date '1970-01-01' + x.day AS day, x.customer, x.amount, x.share, x.is_drawn,
            x.card, x.merchant, x.place::int4
        FROM unnest(accounts, ids, days, customers, cards, merchants, amounts, shares, draws) WITH ORDINALITY
            AS x(account, id, day, customer, card, merchant, amount, share, is_drawn, place)
        ORDER BY x.place
    LOOP
        ord := item.place;
        p_allow := 0;
        is_allowed := false;
        SELECT * INTO seen FROM control_slice_frame f
            WHERE f.account = item.account AND f.day = item.day AND f.customer_id = item.customer;
        IF seen.transaction_id = item.id THEN
            p_allow := seen.p_allow;
            is_allowed := seen.is_allowed;
        ELSIF seen.transaction_id IS NULL THEN
            SELECT * INTO caps FROM control_slices c WHERE c.account IN (item.account, 0)
                ORDER BY c.account DESC LIMIT 1;
            SELECT bool_and(coalesce(u.count, 0) < k.most AND
                            (k.kind <> 'all' OR coalesce(u.amount, 0) + item.amount <= caps.amount_per_day))
                INTO has_room
                FROM (VALUES ('all', '', caps.count_per_day), ('card', item.card, caps.card_per_day),
                             ('merchant', item.merchant, caps.merchant_per_day)) AS k(kind, entity, most)
                    LEFT JOIN control_slice_used u ON u.account = item.account AND u.day = item.day
                        AND u.kind = k.kind AND u.entity = k.entity
                WHERE k.kind = 'all' OR k.entity <> '';
            -- Settings that have changed since the draw close it; so does a slice that is off by now.
            IF has_room AND item.share > 0 AND caps.share = item.share AND item.amount <= caps.amount_most THEN
                p_allow := item.share;
                is_allowed := item.is_drawn;
                INSERT INTO control_slice_frame
                    VALUES (item.account, item.day, item.customer, item.id, p_allow, is_allowed);
                INSERT INTO control_slice_used AS u (account, day, kind, entity, count, amount)
                    SELECT item.account, item.day, k.kind, k.entity, item.is_drawn::int,
                        CASE WHEN item.is_drawn THEN item.amount ELSE 0 END
                    FROM (VALUES ('all', ''), ('card', item.card), ('merchant', item.merchant)) AS k(kind, entity)
                    WHERE k.kind = 'all' OR k.entity <> ''
                    ON CONFLICT (account, day, kind, entity) DO UPDATE
                        SET count = u.count + EXCLUDED.count, amount = u.amount + EXCLUDED.amount;
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION claim_control_slice FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_control_slice TO assay_ingestion;

GRANT SELECT ON retrain_schedules, training_runs, experiments, verdicts, shadow_scores, followers, online_models,
    control_slices, control_slice_used, control_slice_frame TO assay_monitor, assay_dashboard, assay_retrainer;
GRANT INSERT, UPDATE, DELETE ON retrain_schedules TO assay_retrainer;
GRANT INSERT, UPDATE ON training_runs, experiments, followers, online_models TO assay_retrainer;
GRANT SELECT, INSERT, DELETE ON online_pending TO assay_retrainer;
GRANT INSERT ON verdicts TO assay_retrainer;
-- Its REST interface asks for a key with the scope admin.
GRANT SELECT (prefix, secret_sha256, scopes, expires_at, revoked_at) ON api_keys TO assay_retrainer;
GRANT SELECT ON decisions, log, labels, transaction_ids, plans TO assay_retrainer;
GRANT INSERT ON training_runs TO assay_monitor;
GRANT SELECT ON experiments TO assay_scoring, assay_features;
GRANT SELECT, INSERT, UPDATE, DELETE ON serving TO assay_scoring;
GRANT SELECT ON serving TO assay_monitor, assay_dashboard, assay_retrainer;
GRANT SELECT ON online_models, control_slices, models, aliases TO assay_ingestion;
GRANT SELECT, INSERT, UPDATE, DELETE ON control_slice_used, control_slice_frame TO assay_ingestion;
-- Shadow scoring reads what was served and writes what it found, and nothing else.
GRANT SELECT ON log, decisions, plans, models, aliases, experiments, accounts TO assay_shadow;
GRANT SELECT, INSERT ON shadow_scores TO assay_shadow;
GRANT SELECT, INSERT, UPDATE ON followers TO assay_shadow;
