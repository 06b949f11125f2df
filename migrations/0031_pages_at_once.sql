-- SPDX-License-Identifier: Apache-2.0
-- The queue in every order, and the scores of a month, without reading all rows.

-- What waits, and all: most cases of long ago are decided.
CREATE INDEX review_cases_due ON review_cases (due_at, "case") WHERE state IN ('open', 'assigned');
CREATE INDEX review_cases_due_all ON review_cases (due_at, "case");
CREATE INDEX review_cases_loss_all ON review_cases ((-expected_loss), "case");

-- Cases by any one thing that they are about; no other collation than "C", as that of ids.
CREATE INDEX review_cases_about ON review_cases USING gin ((ARRAY[customer_id COLLATE "C", card_id COLLATE "C",
    device_id COLLATE "C", ip COLLATE "C", merchant_id COLLATE "C", transaction_id COLLATE "C"]));

-- As before, but that the name of an account is looked up by a function of its own: without a subquery the planner puts
-- the whole of it in place of each call.
CREATE FUNCTION account_name(of_account integer) RETURNS text LANGUAGE plpgsql STABLE AS
    $$ BEGIN RETURN (SELECT name FROM accounts WHERE account = of_account); END $$;
CREATE OR REPLACE FUNCTION case_json(c review_cases) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'case', c."case", 'version', c.version, 'account', account_name(c.account),
        'transaction_id', c.transaction_id, 'assignee', c.assignee,
        -- a lock that has run out is none
        'state', CASE WHEN c.state = 'assigned' AND c.locked_until <= now() THEN 'open' ELSE c.state END,
        'locked_until', rfc3339(c.locked_until), 'due_at', rfc3339(c.due_at),
        'snoozed_until', rfc3339(c.snoozed_until), 'created_at', rfc3339(c.created_at))
    || jsonb_build_object('action', action_word(c.action), 'score', c.score,
        'expected_loss_base_minor', c.expected_loss, 'amount_minor', c.amount_minor, 'currency', c.currency,
        'amount_base_minor', c.amount_base_minor, 'occurred_at', rfc3339(c.occurred_at),
        'customer_id', c.customer_id, 'card_id', c.card_id, 'merchant_id', c.merchant_id, 'device_id', c.device_id,
        'ip', c.ip, 'country', c.country, 'channel', c.channel, 'rules', to_jsonb(c.rules))
    || jsonb_build_object('outcome', c.outcome, 'reason', c.reason, 'decided_by', c.decided_by,
        'decided_at', rfc3339(c.decided_at), 'effective_at', rfc3339(c.effective_at), 'is_applied', c.is_applied)
$$;

-- ---- scores by the hour ----
-- The edges between which scores are counted: finer where most scores and most thresholds are.
CREATE FUNCTION score_edges() RETURNS double precision[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(e ORDER BY e) FROM (SELECT i / 1000.0::float8 AS e FROM generate_series(0, 99) i
        UNION SELECT i / 200.0::float8 FROM generate_series(20, 199) i) x
$$;
-- Payments with a score. What labels say of them is not in it: labels come later, and change.
CREATE TABLE score_hours (
    account           integer NOT NULL,
    hour              timestamptz NOT NULL, -- of known_at
    edge              smallint NOT NULL,    -- the last of score_edges() that is not above the score, from 1; 0: none
    count             bigint NOT NULL,
    amount_base_minor numeric NOT NULL,
    PRIMARY KEY (account, hour, edge)
);

CREATE FUNCTION score_hour(at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    $$ SELECT date_trunc('hour', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' $$;

-- In the transaction that adds or removes payments, so that the two never differ. Rows that are moved from one partition
-- into another stay counted.
CREATE FUNCTION payments_counted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    edges constant double precision[] := score_edges();
BEGIN
    INSERT INTO score_hours AS h (account, hour, edge, count, amount_base_minor)
        SELECT account, score_hour(known_at), width_bucket(score, edges), count(*), sum(amount_base_minor)
        FROM added WHERE score IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (account, hour, edge) DO UPDATE
            SET count = h.count + EXCLUDED.count, amount_base_minor = h.amount_base_minor + EXCLUDED.amount_base_minor;
    RETURN NULL;
END $$;
CREATE FUNCTION payments_uncounted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    edges constant double precision[] := score_edges();
BEGIN
    UPDATE score_hours h SET count = h.count - g.count, amount_base_minor = h.amount_base_minor - g.amount
        FROM (SELECT account, score_hour(known_at) AS hour, width_bucket(score, edges) AS edge, count(*) AS count,
                sum(amount_base_minor) AS amount FROM gone WHERE score IS NOT NULL GROUP BY 1, 2, 3) g
        WHERE (h.account, h.hour, h.edge) = (g.account, g.hour, g.edge);
    DELETE FROM score_hours h USING (SELECT DISTINCT account, score_hour(known_at) AS hour FROM gone) g
        WHERE h.account = g.account AND h.hour = g.hour AND h.count = 0;
    RETURN NULL;
END $$;
CREATE TRIGGER payments_counted AFTER INSERT ON payments REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION payments_counted();
CREATE TRIGGER payments_uncounted AFTER DELETE ON payments REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION payments_uncounted();

INSERT INTO score_hours (account, hour, edge, count, amount_base_minor)
    SELECT account, score_hour(known_at), width_bucket(score, (SELECT score_edges())), count(*), sum(amount_base_minor)
    FROM payments WHERE score IS NOT NULL GROUP BY 1, 2, 3;

-- What an hour is too coarse for, and what a threshold parts; functions, so that each goes by its index.
DROP INDEX payments_time;
CREATE INDEX payments_time ON payments (account, known_at);
CREATE INDEX payments_score ON payments (account, score, known_at) INCLUDE (amount_base_minor);
CREATE FUNCTION payments_in_time(of_account integer, since timestamptz, until timestamptz)
    RETURNS TABLE (score double precision, known_at timestamptz, amount_base_minor bigint) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY SELECT p.score, p.known_at, p.amount_base_minor FROM payments p
        WHERE p.account = of_account AND p.known_at >= since AND p.known_at < until AND p.score IS NOT NULL;
END $$;
CREATE FUNCTION payments_in_score(of_account integer, low double precision, high double precision, since timestamptz)
    RETURNS TABLE (score double precision, known_at timestamptz, amount_base_minor bigint) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY SELECT p.score, p.known_at, p.amount_base_minor FROM payments p
        WHERE p.account = of_account AND p.score >= low AND p.score < high AND p.known_at >= since;
END $$;
-- Payments with a label, and what holds of them: the newest label of the strongest source.
CREATE FUNCTION payments_labelled(of_account integer, since timestamptz)
    RETURNS TABLE (score double precision, known_at timestamptz, amount_base_minor bigint, is_fraud boolean)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY SELECT p.score, p.known_at, p.amount_base_minor, h.is_fraud
        FROM (SELECT DISTINCT ON (l.transaction_id) l.transaction_id, l.is_fraud FROM labels l
            WHERE l.account = of_account AND l.known_at >= since
            ORDER BY l.transaction_id, l.source DESC, l.labelled_at DESC, l.n DESC) h
        CROSS JOIN LATERAL (SELECT * FROM payments q WHERE q.account = of_account
            AND q.transaction_id = h.transaction_id AND q.known_at >= since OFFSET 0) p -- one by one, by the primary key
        WHERE p.score IS NOT NULL;
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON score_hours TO assay_dashboard;
