-- SPDX-License-Identifier: Apache-2.0
-- What analysts look at: payments by what they share, what was decided minute by minute, and the review queue. All of
-- it is made from the log and the decisions by the dashboard's follower, off the path of a decision.

CREATE TABLE payments (
    account           integer NOT NULL,
    transaction_id    text COLLATE "C" NOT NULL,
    known_at          timestamptz NOT NULL,
    n                 bigint NOT NULL, -- in the log
    occurred_at       timestamptz NOT NULL,
    decided_at        timestamptz NOT NULL,
    amount_minor      bigint NOT NULL,
    currency          text NOT NULL,
    amount_base_minor bigint NOT NULL,
    action            smallint NOT NULL,
    score             double precision,
    customer_id       text COLLATE "C" NOT NULL, -- '': none, as the others
    card_id           text COLLATE "C" NOT NULL,
    merchant_id       text COLLATE "C" NOT NULL,
    device_id         text COLLATE "C" NOT NULL,
    ip                text COLLATE "C" NOT NULL,
    country           text NOT NULL,
    channel           text NOT NULL,
    PRIMARY KEY (account, transaction_id, known_at)
) PARTITION BY RANGE (known_at);
CREATE TABLE payments_default PARTITION OF payments DEFAULT;
CREATE INDEX payments_n ON payments (n);
CREATE INDEX payments_customer ON payments (account, customer_id, occurred_at) WHERE customer_id <> '';
CREATE INDEX payments_card ON payments (account, card_id, occurred_at) WHERE card_id <> '';
CREATE INDEX payments_merchant ON payments (account, merchant_id, occurred_at) WHERE merchant_id <> '';
CREATE INDEX payments_device ON payments (account, device_id, occurred_at) WHERE device_id <> '';
CREATE INDEX payments_ip ON payments (account, ip, occurred_at) WHERE ip <> '';

-- By the wall clock.
CREATE TABLE decision_minutes (
    minute            timestamptz NOT NULL,
    action            smallint NOT NULL,
    count             bigint NOT NULL,
    amount_base_minor numeric NOT NULL,
    PRIMARY KEY (minute, action)
);
CREATE TABLE decision_latency (
    minute timestamptz NOT NULL,
    stage  text NOT NULL,     -- 'queue', 'features', 'scoring', 'rules', 'total'
    bucket smallint NOT NULL, -- 2^bucket to 2^(bucket + 1) microseconds
    count  bigint NOT NULL,
    PRIMARY KEY (minute, stage, bucket)
);

CREATE TABLE review_cases (
    "case"            bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    version           bigint NOT NULL DEFAULT 1, -- rises with every change
    account           integer NOT NULL REFERENCES accounts,
    transaction_id    text COLLATE "C" NOT NULL,
    known_at          timestamptz NOT NULL,
    n                 bigint NOT NULL,
    state             text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'assigned', 'snoozed', 'decided')),
    assignee          text COLLATE "C" REFERENCES users,
    locked_until      timestamptz, -- NULL in an assigned case: until it is given back
    created_at        timestamptz NOT NULL DEFAULT now(),
    due_at            timestamptz NOT NULL,
    snoozed_until     timestamptz,
    action            smallint NOT NULL,
    score             double precision,
    expected_loss     bigint NOT NULL, -- minor units of the base currency
    amount_minor      bigint NOT NULL,
    currency          text NOT NULL,
    amount_base_minor bigint NOT NULL,
    occurred_at       timestamptz NOT NULL,
    customer_id       text NOT NULL,
    card_id           text NOT NULL,
    merchant_id       text NOT NULL,
    device_id         text NOT NULL,
    ip                text NOT NULL,
    country           text NOT NULL,
    channel           text NOT NULL,
    rules             text[] NOT NULL,
    outcome           text CHECK (outcome IN ('fraud', 'legit', 'unclear')),
    reason            text,
    decided_by        text COLLATE "C",
    decided_at        timestamptz,
    effective_at      timestamptz, -- until then the decision can be undone
    effects           jsonb NOT NULL DEFAULT '[]', -- [{"list": 3, "value": "k-9"}], done when it takes effect
    is_applied        boolean NOT NULL DEFAULT false,
    UNIQUE (account, transaction_id),
    CHECK ((state = 'assigned') = (assignee IS NOT NULL AND state <> 'decided')),
    CHECK ((state = 'decided') = (outcome IS NOT NULL))
);
CREATE INDEX review_cases_loss ON review_cases ((-expected_loss), "case") WHERE state IN ('open', 'assigned');
CREATE INDEX review_cases_snoozed ON review_cases (snoozed_until) WHERE state = 'snoozed';
CREATE INDEX review_cases_waiting ON review_cases (effective_at) WHERE state = 'decided' AND NOT is_applied;

CREATE TABLE review_notes (
    note       bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    "case"     bigint NOT NULL REFERENCES review_cases,
    author     text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    text       text NOT NULL CHECK (length(text) BETWEEN 1 AND 4000)
);
CREATE INDEX review_notes_case ON review_notes ("case", note);

CREATE TABLE saved_views (
    owner     text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
    name      text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    filter    jsonb NOT NULL,
    is_shared boolean NOT NULL DEFAULT false,
    PRIMARY KEY (owner, name)
);

-- As the REST interface writes a time, an action, a case.
CREATE FUNCTION rfc3339(at timestamptz) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;
CREATE FUNCTION action_word(action smallint) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT (ARRAY['approve', 'challenge', 'review', 'decline'])[action + 1] $$;
CREATE FUNCTION case_json(c review_cases) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'case', c."case", 'version', c.version, 'account', (SELECT name FROM accounts a WHERE a.account = c.account),
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

-- Payments that share a value, the newest first. A function, so that each kind goes by its own index.
CREATE FUNCTION payments_sharing(of_account integer, kind text, value text, most integer) RETURNS SETOF payments
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    CASE kind
        WHEN 'customer' THEN RETURN QUERY SELECT * FROM payments p WHERE p.account = of_account AND p.customer_id = value
            AND p.customer_id <> '' ORDER BY p.occurred_at DESC LIMIT most;
        WHEN 'card' THEN RETURN QUERY SELECT * FROM payments p WHERE p.account = of_account AND p.card_id = value
            AND p.card_id <> '' ORDER BY p.occurred_at DESC LIMIT most;
        WHEN 'merchant' THEN RETURN QUERY SELECT * FROM payments p WHERE p.account = of_account AND p.merchant_id = value
            AND p.merchant_id <> '' ORDER BY p.occurred_at DESC LIMIT most;
        WHEN 'device' THEN RETURN QUERY SELECT * FROM payments p WHERE p.account = of_account AND p.device_id = value
            AND p.device_id <> '' ORDER BY p.occurred_at DESC LIMIT most;
        WHEN 'ip' THEN RETURN QUERY SELECT * FROM payments p WHERE p.account = of_account AND p.ip = value
            AND p.ip <> '' ORDER BY p.occurred_at DESC LIMIT most;
    END CASE;
END $$;

GRANT SELECT, INSERT ON payments TO assay_dashboard;
GRANT SELECT, INSERT, UPDATE, DELETE ON decision_minutes, decision_latency, saved_views TO assay_dashboard;
GRANT SELECT, INSERT, UPDATE ON review_cases, followers TO assay_dashboard;
GRANT SELECT, INSERT ON review_notes TO assay_dashboard;
GRANT INSERT ON outbox TO assay_dashboard;
GRANT USAGE ON SEQUENCE policy_change TO assay_dashboard;
GRANT SELECT ON monitor_conditions TO assay_dashboard;
