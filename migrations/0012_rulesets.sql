-- SPDX-License-Identifier: Apache-2.0
-- The life of a rule set, who serves which, lists with types, and who changed what in them and when.

-- draft -> shadow -> published -> retired. `authors` are all who wrote in the draft: none of them may approve it.
ALTER TABLE rulesets
    ADD COLUMN revision    integer NOT NULL DEFAULT 1, -- of a draft: one more with each change
    ADD COLUMN note        text NOT NULL DEFAULT '',
    ADD COLUMN authors     text[] NOT NULL DEFAULT '{}',
    ADD COLUMN previous    bigint, -- what was in force when it came into force first
    ADD COLUMN updated_at  timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN shadowed_at timestamptz,
    ADD COLUMN retired_at  timestamptz;
UPDATE rulesets SET authors = ARRAY[author];
CREATE UNIQUE INDEX rulesets_shadow ON rulesets (account) WHERE state = 'shadow';

-- A decision names the version that it was made under, so a version means one document for ever.
CREATE FUNCTION ruleset_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'rule set % has left its draft and stays', OLD.version USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'draft' OR NEW.version <> OLD.version OR NEW.account <> OLD.account OR NEW.body <> OLD.body THEN
        RAISE EXCEPTION 'rule set % has left its draft and cannot be changed', OLD.version
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rulesets_stay BEFORE UPDATE OR DELETE ON rulesets
    FOR EACH ROW WHEN (OLD.state <> 'draft') EXECUTE FUNCTION ruleset_stays();

-- What each process decides by, as it says itself: a rule set is in force once all of them do. Account 0 is always
-- there; other accounts where they have sets of their own. A row that has not been renewed for ten seconds is of a
-- process that is no more.
CREATE TABLE rules_serving (
    process text NOT NULL,            -- any name that no other process has
    account integer NOT NULL,
    version bigint NOT NULL,          -- 0: none
    shadow  bigint NOT NULL DEFAULT 0,
    at      timestamptz NOT NULL,
    PRIMARY KEY (process, account)
);

-- Who has a key: two keys of one person are one person when a rule set needs a second one.
ALTER TABLE api_keys ADD COLUMN owner text NOT NULL DEFAULT '';

-- 'ip' takes addresses and networks, 'number' whatever is the same number.
ALTER TABLE lists ADD COLUMN type text NOT NULL DEFAULT 'string' CHECK (type IN ('string', 'ip', 'number'));
UPDATE lists SET type = 'ip' WHERE field = 'ip';
CREATE FUNCTION list_typed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.type := 'ip';
    RETURN NEW;
END $$;
CREATE TRIGGER lists_typed BEFORE INSERT OR UPDATE ON lists
    FOR EACH ROW WHEN (NEW.field = 'ip') EXECUTE FUNCTION list_typed();

-- Every change of an entry: by it those who keep lists in memory read again only what changed, and a list can be
-- had as it was at any time. `xid` tells what a snapshot has seen: numbers alone do not come in the order of
-- commits.
CREATE TABLE list_changes (
    seq        bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    list       bigint NOT NULL,
    value      text COLLATE "C" NOT NULL,
    is_there   boolean NOT NULL, -- added, or given another note or expiry; else removed
    expires_at timestamptz,
    note       text NOT NULL DEFAULT '',
    actor      text NOT NULL
);
CREATE INDEX list_changes_xid ON list_changes (list, xid);
INSERT INTO list_changes (at, list, value, is_there, expires_at, note, actor)
    SELECT added_at, list, value, true, expires_at, note, added_by FROM list_entries;

-- Once a statement. Who it was is told with set_config('assay.actor', ...), else it is the login.
CREATE OR REPLACE FUNCTION list_touched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO list_changes (list, value, is_there, expires_at, note, actor)
        SELECT list, value, TG_OP <> 'DELETE', expires_at, note,
            coalesce(nullif(current_setting('assay.actor', true), ''), session_user) FROM touched;
    UPDATE lists SET changed = 0 WHERE list IN (SELECT DISTINCT list FROM touched);
    RETURN NULL;
END $$;
CREATE FUNCTION list_entry_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an entry is removed and another one added: that is what is kept of it'
        USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER list_entries_stay BEFORE UPDATE ON list_entries
    FOR EACH ROW WHEN (OLD.list <> NEW.list OR OLD.value <> NEW.value) EXECUTE FUNCTION list_entry_stays();
CREATE TRIGGER list_entries_kept BEFORE TRUNCATE ON list_entries
    FOR EACH STATEMENT EXECUTE FUNCTION list_entry_stays();

GRANT SELECT ON rules_serving, list_changes TO assay_rules, assay_ingestion, assay_monitor, assay_dashboard,
    assay_retrainer;
GRANT INSERT, UPDATE, DELETE ON rules_serving TO assay_rules, assay_ingestion;
GRANT INSERT ON list_changes TO assay_rules, assay_dashboard;
-- The rules service answers for rule sets and lists over REST; a key with the right scope is asked for.
GRANT INSERT, UPDATE, DELETE ON rulesets, lists, list_entries TO assay_rules;
GRANT USAGE ON SEQUENCE policy_change TO assay_rules;
GRANT SELECT (prefix, secret_sha256, scopes, expires_at, revoked_at, owner) ON api_keys TO assay_rules;
GRANT SELECT ON plans, log, transaction_ids, list_changes TO assay_rules;
