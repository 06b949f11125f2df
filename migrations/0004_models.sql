-- SPDX-License-Identifier: Apache-2.0
-- Models: bundles with all that belongs to them, and the names by which one of them serves.
CREATE TABLE models (
    version    bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name       text NOT NULL,
    sha256     bytea NOT NULL CHECK (octet_length(sha256) = 32),
    bundle     bytea NOT NULL,
    state      text NOT NULL DEFAULT 'registered' CHECK (state IN
        ('registered', 'validated', 'shadow', 'ab', 'champion', 'retired', 'rejected')),
    created_at timestamptz NOT NULL DEFAULT now(),
    metrics    jsonb NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX models_name_sha256 ON models (name, sha256);
ALTER TABLE models ALTER COLUMN bundle SET STORAGE EXTERNAL;

CREATE TABLE aliases (
    name       text NOT NULL,
    alias      text NOT NULL CHECK (alias IN ('champion', 'challenger', 'shadow', 'previous_champion')),
    version    bigint NOT NULL REFERENCES models,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, alias)
);

CREATE TRIGGER aliases_notify AFTER INSERT OR UPDATE OR DELETE ON aliases
    FOR EACH STATEMENT EXECUTE FUNCTION notify_channel('models');

GRANT SELECT ON models, aliases TO assay_features, assay_scoring, assay_monitor, assay_dashboard, assay_rules;
GRANT SELECT, INSERT, UPDATE ON models TO assay_retrainer;
GRANT SELECT, INSERT, UPDATE, DELETE ON aliases TO assay_retrainer;
