-- SPDX-License-Identifier: Apache-2.0
-- What the monitor keeps of what it has seen: counts, what it found in them, and what it asked for.
--
-- A lane is a clock: 0 is all accounts on the live clock together, else the number of one account on a simulated
-- clock, whose years are its own. Times are the lane's (known_at), unless they say otherwise.

-- Transactions of the log whose decision is awaited.
CREATE TABLE monitor_pending (
    n              bigint PRIMARY KEY,
    account        integer NOT NULL,
    transaction_id text COLLATE "C" NOT NULL,
    known_at       timestamptz NOT NULL,
    tries          integer NOT NULL DEFAULT 0,
    next_at        timestamptz NOT NULL, -- of the server, as since_at
    since_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX monitor_pending_next ON monitor_pending (next_at);

-- The state of the data, by hour.
CREATE TABLE monitor_health (
    lane         integer NOT NULL,
    hour         timestamptz NOT NULL,
    transactions bigint NOT NULL DEFAULT 0,
    decisions    bigint NOT NULL DEFAULT 0,
    unscored     bigint NOT NULL DEFAULT 0, -- decided without a model's score
    degraded     bigint NOT NULL DEFAULT 0, -- decided while a part was missing
    duplicates   bigint NOT NULL DEFAULT 0, -- equal another payment but for the id
    labels       bigint NOT NULL DEFAULT 0,
    frauds       bigint NOT NULL DEFAULT 0, -- of the labels
    ahead        bigint NOT NULL DEFAULT 0, -- happened after they became known
    late         bigint[] NOT NULL,         -- known_at - occurred_at: to 1 s, 10 s, 1 min, 10 min, 1 h, 1 d, 7 d, beyond
    PRIMARY KEY (lane, hour)
);

-- What is so now, and what was: a condition is raised, and cleared, and may be raised again.
CREATE TABLE monitor_conditions (
    condition  text PRIMARY KEY,
    kind       text NOT NULL,
    subject    text NOT NULL,
    severity   text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    lane       integer NOT NULL,
    value      double precision,
    threshold  double precision,
    text       text NOT NULL,
    is_raised  boolean NOT NULL,
    since      timestamptz NOT NULL, -- by the server's clock: the last change of is_raised
    updated_at timestamptz NOT NULL DEFAULT now(),
    change     bigint NOT NULL       -- rises with every raising and clearing, of whichever condition
);
CREATE UNIQUE INDEX monitor_conditions_change ON monitor_conditions (change);
CREATE SEQUENCE monitor_condition_changes;

GRANT SELECT ON monitor_pending, monitor_health, monitor_conditions TO assay_dashboard;
GRANT SELECT, INSERT, UPDATE, DELETE ON monitor_pending, monitor_health, monitor_conditions TO assay_monitor;
GRANT USAGE ON monitor_condition_changes TO assay_monitor;
GRANT INSERT, UPDATE ON followers TO assay_monitor;
-- Its REST interface asks for a key with the scope admin.
GRANT SELECT (prefix, secret_sha256, scopes, expires_at, revoked_at) ON api_keys TO assay_monitor;
