-- SPDX-License-Identifier: Apache-2.0
-- Browsers from which somebody has logged in: wrong passwords of strangers do not keep them waiting.

-- The token itself is in a cookie of that browser only; here is its SHA-256.
CREATE TABLE known_browsers (
    token_sha256 bytea PRIMARY KEY CHECK (octet_length(token_sha256) = 32),
    name         text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
    used_at      timestamptz NOT NULL DEFAULT now(), -- by the last log-in
    expires_at   timestamptz NOT NULL
);
CREATE INDEX known_browsers_name ON known_browsers (name);

-- 'pair': "name address", 'browser': the hash of a known one.
ALTER TABLE login_failures DROP CONSTRAINT login_failures_kind_check;
ALTER TABLE login_failures ADD CHECK (kind IN ('user', 'address', 'pair', 'browser'));

GRANT SELECT, INSERT, UPDATE, DELETE ON known_browsers TO assay_dashboard;
