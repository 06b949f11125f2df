-- SPDX-License-Identifier: Apache-2.0
-- What people had a rule set tried on, and what came of it: waiting -> running -> done, failed or cancelled. Whoever
-- runs one holds the advisory lock (7341, backtest) in its session; where nobody does, another process begins again.
CREATE TABLE backtests (
    backtest        integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    state           text NOT NULL DEFAULT 'waiting'
                    CHECK (state IN ('waiting', 'running', 'done', 'failed', 'cancelled')),
    asked_by        text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,
    ended_at        timestamptz,
    question        jsonb NOT NULL, -- as it was asked, without the document
    document        jsonb NOT NULL, -- as it was when that was asked
    account         integer NOT NULL DEFAULT 0,
    version         bigint,  -- the rule set; NULL: a document of its own
    revision        integer, -- that it had
    attempts        integer NOT NULL DEFAULT 0,
    is_cancelled    boolean NOT NULL DEFAULT false,
    stage           text NOT NULL DEFAULT '',
    done            bigint NOT NULL DEFAULT 0,
    total           bigint NOT NULL DEFAULT 0,
    report          text,
    report_sha256   bytea,
    trouble         text NOT NULL DEFAULT ''
);
CREATE INDEX backtests_to_do ON backtests (backtest) WHERE state IN ('waiting', 'running');
CREATE INDEX backtests_version ON backtests (version, backtest);

-- A report is what people decided by.
CREATE FUNCTION backtest_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'backtest % has ended and stays', OLD.backtest USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER backtests_stay BEFORE UPDATE OR DELETE ON backtests
    FOR EACH ROW WHEN (OLD.state IN ('done', 'failed', 'cancelled')) EXECUTE FUNCTION backtest_stays();

GRANT SELECT, INSERT, UPDATE ON backtests TO assay_rules;
GRANT SELECT ON backtests TO assay_dashboard, assay_monitor;
-- Who did what to a rule set is shown beside it.
GRANT SELECT ON audit TO assay_rules;
