-- SPDX-License-Identifier: Apache-2.0
-- Who may speak for the people that it has let in: keys that a dashboard makes for itself while it runs, kept as SHA-256.
-- rules, retrainer and monitor believe what is said with one of them about who asks.

CREATE TABLE delegates (
    secret_sha256 bytea PRIMARY KEY CHECK (octet_length(secret_sha256) = 32),
    service       text NOT NULL,
    made_at       timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL
);
GRANT SELECT, INSERT, DELETE ON delegates TO assay_dashboard;
GRANT SELECT ON delegates TO assay_rules, assay_retrainer, assay_monitor;
