-- SPDX-License-Identifier: Apache-2.0
-- So that those who keep lists in memory read again only what changed: `changed` of a list is another number
-- after each transaction that touched it or its entries.
CREATE SEQUENCE policy_change;
ALTER TABLE lists ADD COLUMN changed bigint NOT NULL DEFAULT nextval('policy_change');
ALTER TABLE list_entries ADD CHECK (octet_length(value) BETWEEN 1 AND 512);

CREATE FUNCTION list_renumber() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed := nextval('policy_change');
    RETURN NEW;
END $$;
CREATE TRIGGER lists_renumber BEFORE UPDATE ON lists FOR EACH ROW EXECUTE FUNCTION list_renumber();

-- One statement, one new number, however many entries it touched.
CREATE FUNCTION list_touched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE lists SET changed = 0 WHERE list IN (SELECT DISTINCT list FROM touched);
    RETURN NULL;
END $$;
CREATE TRIGGER list_entries_added AFTER INSERT ON list_entries
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION list_touched();
CREATE TRIGGER list_entries_edited AFTER UPDATE ON list_entries
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION list_touched();
CREATE TRIGGER list_entries_removed AFTER DELETE ON list_entries
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION list_touched();

GRANT USAGE ON SEQUENCE policy_change TO assay_dashboard;
