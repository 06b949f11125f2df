-- SPDX-License-Identifier: Apache-2.0
-- What people decide: lists and rule sets.

-- account 0 means every account. A list of purpose 'deny' or 'allow' acts by itself on its field; any list can be
-- named in a rule.
CREATE TABLE lists (
    list       bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    account    integer NOT NULL DEFAULT 0,
    name       text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    purpose    text NOT NULL DEFAULT 'named' CHECK (purpose IN ('deny', 'allow', 'named')),
    field      text NOT NULL DEFAULT '', -- of the transaction: 'customer_id', 'ip', ...
    note       text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (account, name)
);
CREATE TABLE list_entries (
    list       bigint NOT NULL REFERENCES lists ON DELETE CASCADE,
    value      text COLLATE "C" NOT NULL,
    note       text NOT NULL DEFAULT '',
    added_by   text NOT NULL DEFAULT '',
    added_at   timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    PRIMARY KEY (list, value)
);

CREATE TABLE rulesets (
    version      bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    account      integer NOT NULL DEFAULT 0,
    state        text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'shadow', 'published', 'retired')),
    body         jsonb NOT NULL,
    author       text NOT NULL DEFAULT '',
    approver     text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
);
CREATE UNIQUE INDEX rulesets_published ON rulesets (account) WHERE state = 'published';

CREATE TRIGGER lists_notify AFTER INSERT OR UPDATE OR DELETE ON lists
    FOR EACH STATEMENT EXECUTE FUNCTION notify_channel('policy');
CREATE TRIGGER list_entries_notify AFTER INSERT OR UPDATE OR DELETE ON list_entries
    FOR EACH STATEMENT EXECUTE FUNCTION notify_channel('policy');
CREATE TRIGGER rulesets_notify AFTER INSERT OR UPDATE OR DELETE ON rulesets
    FOR EACH STATEMENT EXECUTE FUNCTION notify_channel('policy');

GRANT SELECT ON lists, list_entries, rulesets TO assay_rules, assay_ingestion, assay_features, assay_monitor;
GRANT SELECT, INSERT, UPDATE, DELETE ON lists, list_entries, rulesets TO assay_dashboard;
