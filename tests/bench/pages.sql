-- SPDX-License-Identifier: Apache-2.0
-- A month of what the pages read, made from decisions that a cluster has really taken: bodies, vectors and records are
-- theirs, with other ids of the same length, so that each can be opened, replayed and compared as any other.
--   psql -v decisions=1000000 -v cases=100000 -f pages.sql
-- Ids are 8, customers, cards and devices 7 characters long (pages.mjs).
\set ON_ERROR_STOP on
SET synchronous_commit = off;
SET maintenance_work_mem = '256MB';
SET work_mem = '128MB';
SET jit = off;
SELECT ensure_partitions(now() - interval '31 days', now());

CREATE FUNCTION pg_temp.put(body bytea, old text, new text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN old = '' OR position(convert_to(old, 'UTF8') IN body) = 0 THEN body
        ELSE overlay(body PLACING convert_to(new, 'UTF8') FROM position(convert_to(old, 'UTF8') IN body)) END
$$;
-- The same one of another world.
CREATE FUNCTION pg_temp.other(old text, world bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN old = '' THEN '' ELSE left(old, 1) || lpad((substr(old, 2)::int + 10000 * world)::text, 6, '0') END
$$;

CREATE TEMP TABLE pattern AS
    SELECT row_number() OVER (ORDER BY d.n) - 1 AS k, d.*, l.body, p.occurred_at, p.amount_minor, p.currency, p.customer_id,
        p.card_id, p.merchant_id, p.device_id, p.ip, p.country, p.channel
    FROM decisions d JOIN log l ON l.n = d.n AND l.known_at = d.known_at JOIN payments p
        ON p.account = d.account AND p.transaction_id = d.transaction_id AND p.known_at = d.known_at
    WHERE d.plan <> '' AND d.score IS NOT NULL;
CREATE UNIQUE INDEX ON pattern (k);
ANALYZE pattern;

-- Seven times as much by day as by night; places in the log are before all that is there.
CREATE TEMP TABLE copy AS
    SELECT i, i - :decisions - 1 AS n, k, 't' || lpad((1000000 + i)::text, 7, '0') AS id, (i / patterns) % 40 AS world,
        now() - interval '30 days' * (1 - i::float8 / :decisions) - interval '1 minute'
            + interval '1 day' * 0.12 * sin(2 * pi() * 30 * i / :decisions) AS known_at
    FROM (SELECT count(*) AS patterns FROM pattern) x, generate_series(1, :decisions) i,
        LATERAL (SELECT (i * 7919::bigint) % patterns AS k) y;
UPDATE copy SET known_at = now() - interval '1 second' WHERE known_at > now();
ANALYZE copy;

INSERT INTO log (n, epoch, kind, account, known_at, body)
    SELECT c.n, 0, 1, account, c.known_at, pg_temp.put(pg_temp.put(pg_temp.put(pg_temp.put(body, transaction_id, id),
        customer_id, pg_temp.other(customer_id, world)), card_id, pg_temp.other(card_id, world)), device_id,
        pg_temp.other(device_id, world))
    FROM copy c JOIN pattern USING (k) ORDER BY i;
INSERT INTO transaction_ids (account, id, body_hash, epoch, n, known_at)
    SELECT account, c.id, '', 0, c.n, c.known_at FROM copy c JOIN pattern USING (k) ORDER BY i;
INSERT INTO decisions (account, transaction_id, known_at, decided_at, n, action, score, margin, p_allow, model_version,
        ruleset_version, arm, plan, vector, amount_base_minor, record)
    SELECT account, id, c.known_at, c.known_at, c.n, action, score, margin, p_allow, model_version, ruleset_version, arm,
        plan, vector, amount_base_minor, record
    FROM copy c JOIN pattern USING (k) ORDER BY i;
INSERT INTO payments (account, transaction_id, known_at, n, occurred_at, decided_at, amount_minor, currency,
        amount_base_minor, action, score, customer_id, card_id, merchant_id, device_id, ip, country, channel)
    SELECT account, id, c.known_at, c.n, c.known_at, c.known_at, amount_minor, currency, amount_base_minor, action, score,
        pg_temp.other(customer_id, world), pg_temp.other(card_id, world), merchant_id, pg_temp.other(device_id, world), ip,
        country, channel
    FROM copy c JOIN pattern USING (k) ORDER BY i;

-- One payment in fifty has a label, a few of them two.
INSERT INTO labels (account, transaction_id, source, labelled_at, is_fraud, known_at, n)
    SELECT p.account, p.transaction_id, s, p.known_at + s * interval '2 days', (p.n + s) % 3 <> 0,
        p.known_at + s * interval '2 days', p.n
    FROM payments p, (VALUES (1), (3)) v (s) WHERE p.n < 0 AND p.n % (50 * (s + 1) / 2) = 0;

INSERT INTO decision_minutes (minute, action, count, amount_base_minor)
    SELECT date_trunc('minute', decided_at), action, count(*), sum(amount_base_minor) FROM payments WHERE n < 0 GROUP BY 1, 2
    ON CONFLICT DO NOTHING;
INSERT INTO decision_latency (minute, stage, bucket, count)
    SELECT minute, stage, 8 + floor(4 * random() * random() + length(stage) / 4)::int2 + b, 10
    FROM (SELECT DISTINCT minute FROM decision_minutes) m,
        (VALUES ('queue'), ('features'), ('scoring'), ('rules'), ('total')) s (stage), (VALUES (0), (5)) v (b)
    ON CONFLICT DO NOTHING;

INSERT INTO users (name, full_name, password, roles)
    SELECT 'analyst' || g, 'Analyst ' || g, 'none', '{analyst}' FROM generate_series(1, 200) g;
-- The oldest half is decided; of the others most are open, some overdue.
INSERT INTO review_cases (account, transaction_id, known_at, n, state, assignee, locked_until, created_at, due_at,
        snoozed_until, action, score, expected_loss, amount_minor, currency, amount_base_minor, occurred_at, customer_id,
        card_id, merchant_id, device_id, ip, country, channel, rules, outcome, reason, decided_by, decided_at, effective_at,
        is_applied)
    SELECT account, transaction_id, known_at, n, state, CASE WHEN state = 'assigned' THEN who END,
        CASE WHEN state = 'assigned' AND h % 2 = 0 THEN now() + interval '1 h' * (h % 7 - 3) END, known_at,
        known_at + interval '4 days' + interval '1 h' * (h % 100), CASE WHEN state = 'snoozed' THEN now() + interval '2 days' END,
        action, score, (score * amount_base_minor)::int8, amount_minor, currency, amount_base_minor, occurred_at, customer_id,
        card_id, merchant_id, device_id, ip, country, channel,
        ARRAY[(ARRAY['score_and_amount', 'card_testing', 'watched_device', 'new_country'])[1 + h % 4], 'rule_' || h % 97],
        CASE WHEN state = 'decided' THEN (ARRAY['fraud', 'legit', 'unclear'])[1 + h % 3] END,
        CASE WHEN state = 'decided' THEN 'known_pattern' END, CASE WHEN state = 'decided' THEN who END,
        CASE WHEN state = 'decided' THEN known_at + interval '3 h' END,
        CASE WHEN state = 'decided' THEN known_at + interval '3 h' END, state = 'decided'
    FROM (SELECT p.*, h, 'analyst' || 1 + h % 200 AS who, CASE WHEN p.n < -:decisions / 2 THEN 'decided' WHEN h % 100 < 80
            THEN 'open' WHEN h % 100 < 93 THEN 'assigned' ELSE 'snoozed' END AS state
        FROM payments p, LATERAL (SELECT abs(hashint8(n)) AS h) x
        WHERE p.n < 0 AND p.n % (:decisions / :cases) = 0) y ORDER BY n;
INSERT INTO review_notes ("case", author, at, text)
    SELECT "case", 'analyst' || 1 + "case" % 200, created_at + interval '1 h', 'seen before: ' || customer_id
    FROM review_cases WHERE "case" % 3 = 0;
INSERT INTO audit (at, account, actor, action, subject, detail)
    SELECT created_at + interval '3 h', account, decided_by, 'case.decide', "case"::text,
        jsonb_build_object('outcome', outcome, 'reason', reason) FROM review_cases WHERE state = 'decided' AND "case" % 2 = 0;

INSERT INTO api_keys (prefix, account, secret_sha256, scopes, note)
    SELECT lpad(to_hex(g), 8, '0'), (SELECT max(account) FROM accounts), sha256(g::text::bytea), '{decide}', 'key ' || g
    FROM generate_series(1, 500) g;
INSERT INTO list_entries (list, value, note, added_by)
    SELECT list, 'c' || lpad(g::text, 6, '0'), 'reported', 'analyst1'
    FROM (SELECT list FROM lists WHERE field = 'customer_id' ORDER BY list LIMIT 1) l, generate_series(1, 100000) g;
INSERT INTO alerts (fingerprint, labels, severity, text, value, threshold, state, since, true_at, fired_at, resolved_at)
    SELECT decode(md5(g::text), 'hex'), jsonb_build_object('condition', 'bench', 'subject', 's' || g), 'warning',
        'a figure was beyond its threshold', g, 1, 'resolved', at, at, at, at + interval '5 min'
    FROM generate_series(1, 20000) g, LATERAL (SELECT now() - g * interval '2 min' AS at) x;
INSERT INTO rulesets (account, state, body, author, published_at, retired_at)
    SELECT account, 'retired', body, author, published_at - g * interval '1 h', published_at - (g - 1) * interval '1 h'
    FROM rulesets, generate_series(1, 300) g WHERE state = 'published';
VACUUM (ANALYZE) log, transaction_ids, decisions, payments, labels, decision_minutes, decision_latency, review_cases,
    review_notes, audit, list_entries, alerts;
