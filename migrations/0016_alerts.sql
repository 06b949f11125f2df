-- SPDX-License-Identifier: Apache-2.0
-- Alerts: what the monitor's conditions came to, what is not to be told, to whom it is told, and what is on its way.

-- An alert is pending, fires, and is resolved; then the row stays as it is. What passed while it was pending leaves none.
CREATE TABLE alerts (
    alert         bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    fingerprint   bytea NOT NULL CHECK (octet_length(fingerprint) = 16), -- of the labels
    labels        jsonb NOT NULL,
    severity      text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    text          text NOT NULL,
    value         double precision,
    threshold     double precision,
    state         text NOT NULL CHECK (state IN ('pending', 'firing', 'resolved')),
    since         timestamptz NOT NULL, -- times are the monitor's
    true_at       timestamptz NOT NULL,
    fired_at      timestamptz,
    resolved_at   timestamptz,
    told_at       timestamptz,
    told_severity text CHECK (told_severity IN ('info', 'warning', 'critical')),
    is_end_told   boolean NOT NULL DEFAULT false,
    is_silenced   boolean NOT NULL DEFAULT false, -- at the last look
    is_inhibited  boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX alerts_open ON alerts (fingerprint) WHERE state <> 'resolved';
CREATE INDEX alerts_resolved ON alerts (resolved_at) WHERE state = 'resolved';

CREATE TABLE alert_silences (
    silence    bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    matchers   jsonb NOT NULL,
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL CHECK (ends_at >= starts_at),
    author     text NOT NULL,
    comment    text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alert_silences_end ON alert_silences (ends_at);

-- Secrets are sealed with ASSAY_WEBHOOK_KEY, which the database never sees.
CREATE TABLE webhooks (
    webhook          bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name             text COLLATE "C" NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    url              text NOT NULL,
    secret           bytea NOT NULL,
    old_secret       bytea,              -- until it is old enough, messages are signed with both
    old_until        timestamptz,
    is_enabled       boolean NOT NULL DEFAULT true,
    disabled_because text NOT NULL DEFAULT '',
    created_at       timestamptz NOT NULL DEFAULT now()
);

-- One row for each message to each webhook; sent in their order, one at a time.
CREATE TABLE alert_deliveries (
    delivery     bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    webhook      bigint NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    event        text NOT NULL,       -- webhook-id
    type         text NOT NULL,
    alerts       bigint[] NOT NULL,
    body         text NOT NULL,
    state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts     integer NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL,
    next_at      timestamptz NOT NULL,
    ended_at     timestamptz,
    last_status  integer NOT NULL DEFAULT 0, -- of HTTP; 0: there was no answer
    last_trouble text NOT NULL DEFAULT ''
);
CREATE INDEX alert_deliveries_pending ON alert_deliveries (webhook, delivery) WHERE state = 'pending';
CREATE INDEX alert_deliveries_created ON alert_deliveries (created_at);
CREATE INDEX alert_deliveries_alerts ON alert_deliveries USING gin (alerts);

GRANT SELECT ON alerts, alert_silences, alert_deliveries TO assay_dashboard;
GRANT SELECT (webhook, name, url, is_enabled, disabled_because, created_at) ON webhooks TO assay_dashboard;
GRANT SELECT, INSERT, UPDATE, DELETE ON alerts, alert_silences, webhooks, alert_deliveries TO assay_monitor;
