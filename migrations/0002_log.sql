-- SPDX-License-Identifier: Apache-2.0
-- The log, which is the truth: whatever changes feature state is an entry in it. `features` is its only writer.

-- Range-partitioned tables get a partition for each month of known_at (UTC). A DEFAULT partition takes what
-- comes before its month was made; making the month then moves such rows into it.
--
-- ensure_partitions() covers a span for every range-partitioned table. ATTACH rather than CREATE ... PARTITION
-- OF, because that one would lock the parent against all who write.
CREATE FUNCTION ensure_partitions(span_from timestamptz, span_to timestamptz) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    parent   record;
    lo       timestamptz;
    hi       timestamptz;
    part     text;
    made     integer := 0;
BEGIN
    IF span_to < span_from OR span_to - span_from > interval '100 years' THEN
        RAISE EXCEPTION 'a span of partitions from % to % cannot be meant', span_from, span_to
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('assay ensure_partitions'));
    FOR parent IN
        SELECT c.oid, c.relname, d.relname AS default_name
        FROM pg_partitioned_table p
            JOIN pg_class c ON c.oid = p.partrelid AND c.relnamespace = current_schema()::regnamespace
            LEFT JOIN pg_class d ON d.oid = p.partdefid
        WHERE p.partstrat = 'r'
    LOOP
        lo := date_trunc('month', span_from, 'UTC');
        WHILE lo <= span_to LOOP
            hi := date_trunc('month', lo + interval '40 days', 'UTC');
            part := format('%s_%s', parent.relname, to_char(lo AT TIME ZONE 'UTC', 'YYYY_MM'));
            IF to_regclass(quote_ident(part)) IS NULL THEN
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, parent.relname);
                IF parent.default_name IS NOT NULL THEN
                    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent.default_name);
                    EXECUTE format('WITH moved AS (DELETE FROM %I WHERE known_at >= %L AND known_at < %L RETURNING *) '
                                   'INSERT INTO %I SELECT * FROM moved', parent.default_name, lo, hi, part);
                END IF;
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                               parent.relname, part, lo, hi);
                made := made + 1;
            END IF;
            lo := hi;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
REVOKE ALL ON FUNCTION ensure_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partitions TO assay_features, assay_ingestion;

-- One row: the epoch of the newest holder of the log's advisory lock.
CREATE TABLE log_epoch (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch    bigint NOT NULL,
    holder   text NOT NULL DEFAULT '',
    since    timestamptz NOT NULL DEFAULT now()
);
INSERT INTO log_epoch (epoch) VALUES (0);

-- n rises by one from entry to entry, over all epochs. known_at need not rise with it (accounts on a simulated
-- clock live in other years), so the order is n's alone.
CREATE TABLE log (
    n        bigint NOT NULL,
    epoch    bigint NOT NULL,
    kind     smallint NOT NULL, -- 1 transaction, 2 label, 3 plan
    account  integer NOT NULL,  -- 0 for a plan
    known_at timestamptz NOT NULL,
    body     bytea NOT NULL,    -- packed assay.v1.Transaction or Label; a plan's normalised text
    PRIMARY KEY (n, known_at)
) PARTITION BY RANGE (known_at);
CREATE TABLE log_default PARTITION OF log DEFAULT;

-- Every transaction id there ever was: what makes one decision per id certain. Hash-partitioned, because a key
-- of a table that is partitioned by time could not be unique by id alone. n is NULL while the transaction is in
-- the outbox only.
CREATE TABLE transaction_ids (
    account   integer NOT NULL,
    id        text COLLATE "C" NOT NULL,
    body_hash bytea NOT NULL,
    epoch     bigint,
    n         bigint,
    known_at  timestamptz NOT NULL,
    PRIMARY KEY (account, id)
) PARTITION BY HASH (account, id);
DO $$
BEGIN
    FOR i IN 0..15 LOOP
        -- room on the page, so that setting n does not move the row
        EXECUTE format('CREATE TABLE transaction_ids_%s PARTITION OF transaction_ids '
                       'FOR VALUES WITH (MODULUS 16, REMAINDER %s) WITH (fillfactor = 95)', i, i);
    END LOOP;
END $$;

-- What was decided or told while features was away, on its way into the log, in this order.
CREATE TABLE outbox (
    seq        bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    kind       smallint NOT NULL DEFAULT 1 CHECK (kind IN (1, 2)), -- as in the log
    account    integer NOT NULL,
    id         text COLLATE "C" NOT NULL, -- of the transaction
    known_at   timestamptz NOT NULL,
    body       bytea NOT NULL,            -- as in the log
    created_at timestamptz NOT NULL DEFAULT now()
);

-- All labels that ever came. What holds of them is the strongest source, the newest within it.
CREATE TABLE labels (
    account        integer NOT NULL,
    transaction_id text COLLATE "C" NOT NULL,
    source         smallint NOT NULL, -- 0 customer, 1 analyst, 2 issuer, 3 chargeback
    labelled_at    timestamptz NOT NULL,
    is_fraud       boolean NOT NULL,
    known_at       timestamptz NOT NULL,
    n              bigint NOT NULL,
    PRIMARY KEY (account, transaction_id, source, labelled_at, is_fraud)
);
CREATE INDEX labels_n ON labels (n);

-- What a plan's identity stands for: ordered, normalised definitions of features.
CREATE TABLE plans (
    plan       bytea PRIMARY KEY CHECK (octet_length(plan) = 32),
    definition text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The state of the feature windows after entry n under a plan, cut into chunks.
CREATE TABLE snapshots (
    n           bigint NOT NULL,
    plan        bytea NOT NULL REFERENCES plans,
    epoch       bigint NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    chunks      integer NOT NULL,
    total_bytes bigint NOT NULL, -- of the state, before compression
    sha256      bytea NOT NULL,  -- of the state, before compression
    is_kept     boolean NOT NULL DEFAULT false, -- one per partition of the log is kept as long as the partition
    PRIMARY KEY (n, plan)
);
CREATE TABLE snapshot_chunks (
    n     bigint NOT NULL,
    plan  bytea NOT NULL,
    chunk integer NOT NULL,
    bytes bytea NOT NULL, -- one zstd frame
    PRIMARY KEY (n, plan, chunk),
    FOREIGN KEY (n, plan) REFERENCES snapshots ON DELETE CASCADE
);
ALTER TABLE snapshot_chunks ALTER COLUMN bytes SET STORAGE EXTERNAL;

GRANT SELECT, UPDATE ON log_epoch TO assay_features;
GRANT SELECT, INSERT ON log, labels, plans TO assay_features;
GRANT SELECT, INSERT, UPDATE ON transaction_ids TO assay_features;
GRANT SELECT, DELETE ON outbox TO assay_features;
GRANT SELECT, INSERT, DELETE ON snapshots, snapshot_chunks TO assay_features;
GRANT SELECT, INSERT ON transaction_ids, outbox TO assay_ingestion;
GRANT SELECT ON labels TO assay_ingestion;
GRANT SELECT ON plans TO assay_ingestion, assay_scoring, assay_rules;
GRANT SELECT ON log, transaction_ids, labels, plans TO assay_monitor, assay_retrainer, assay_dashboard;
GRANT SELECT ON log, plans TO assay_rules;
GRANT SELECT ON log_epoch, snapshots TO assay_monitor, assay_dashboard;
