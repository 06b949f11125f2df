-- SPDX-License-Identifier: Apache-2.0
-- A decision can be made again by the lists as they were: what was in a list at a time is in list_changes, and which
-- lists there were is here, for those that are not there any more.
CREATE TABLE dropped_lists (
    list       bigint PRIMARY KEY,
    account    integer NOT NULL,
    name       text NOT NULL,
    purpose    text NOT NULL,
    field      text NOT NULL,
    type       text NOT NULL,
    created_at timestamptz NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION list_dropped() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO dropped_lists (list, account, name, purpose, field, type, created_at)
        VALUES (OLD.list, OLD.account, OLD.name, OLD.purpose, OLD.field, OLD.type, OLD.created_at);
    RETURN NULL;
END $$;
CREATE TRIGGER lists_dropped AFTER DELETE ON lists FOR EACH ROW EXECUTE FUNCTION list_dropped();

-- One value's history, whatever the size of its list.
CREATE INDEX list_changes_value ON list_changes (list, value, seq);

GRANT SELECT ON dropped_lists TO assay_rules, assay_monitor, assay_dashboard;
GRANT SELECT ON outbox, online_models TO assay_dashboard;
