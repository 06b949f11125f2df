-- SPDX-License-Identifier: Apache-2.0
-- API keys in the dashboard, and when each was used last.

-- Beside the keys: a change of theirs makes every process read them again. About once a minute of use.
CREATE TABLE api_key_uses (
    prefix  text COLLATE "C" PRIMARY KEY,
    used_at timestamptz NOT NULL
);

-- The hashes of secrets are written and never read there.
GRANT SELECT (prefix, account, scopes, rate_per_s, burst, note, created_at, expires_at, revoked_at, owner),
    INSERT, UPDATE (expires_at, revoked_at) ON api_keys TO assay_dashboard;
GRANT SELECT ON api_key_uses TO assay_dashboard;
GRANT SELECT, INSERT, UPDATE ON api_key_uses TO assay_ingestion, assay_rules, assay_monitor, assay_retrainer;
