-- SPDX-License-Identifier: Apache-2.0
-- People: who may log in to the dashboard, and an audit trail that nobody can change unseen.

CREATE TABLE users (
    name        text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9._-]{0,62}$'),
    full_name   text NOT NULL DEFAULT '' CHECK (length(full_name) <= 200),
    password    text NOT NULL, -- Argon2id, with its salt and its costs, as libsodium writes it
    roles       text[] NOT NULL CHECK (roles <@ ARRAY['analyst', 'lead', 'rule_author', 'publisher', 'model_owner',
                                                      'admin', 'auditor']),
    is_disabled boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    password_at timestamptz NOT NULL DEFAULT now()
);

-- The token itself is in its user's browser only; here is its SHA-256.
CREATE TABLE sessions (
    token_sha256 bytea PRIMARY KEY CHECK (octet_length(token_sha256) = 32),
    name         text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
    address      text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    seen_at      timestamptz NOT NULL DEFAULT now(), -- to half a minute
    expires_at   timestamptz NOT NULL                -- whatever happens
);
CREATE INDEX sessions_name ON sessions (name);

-- Passwords that were wrong in a row, by who was meant and by where they came from.
CREATE TABLE login_failures (
    kind         text NOT NULL CHECK (kind IN ('user', 'address')),
    subject      text COLLATE "C" NOT NULL,
    failures     integer NOT NULL,
    last_at      timestamptz NOT NULL,
    locked_until timestamptz NOT NULL,
    PRIMARY KEY (kind, subject)
);

-- ---- the chain ----
-- Each row of `audit` becomes a link when its transaction commits: the SHA-256 over the link before and the row. So
-- whoever changes, removes or inserts a row later breaks all links from there on. Links are made at the very end of a
-- transaction, so that writers wait for one another as shortly as can be, and never in a circle.
CREATE TABLE audit_chain (
    link   bigint PRIMARY KEY,
    id     bigint NOT NULL UNIQUE,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32)
);
CREATE TABLE audit_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    link     bigint NOT NULL,
    sha256   bytea NOT NULL
);
INSERT INTO audit_head (link, sha256) VALUES (0, sha256(''));

CREATE FUNCTION audit_sha256(before bytea, a audit) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(before || convert_to(jsonb_build_array(a.id, (extract(epoch FROM a.at) * 1000000)::bigint, a.account,
                                                         a.actor, a.action, a.subject, a.detail)::text, 'UTF8'))
$$;

CREATE FUNCTION audit_link() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    head audit_head;
BEGIN
    SELECT * INTO head FROM audit_head FOR UPDATE;
    head.link := head.link + 1;
    head.sha256 := audit_sha256(head.sha256, NEW);
    INSERT INTO audit_chain (link, id, sha256) VALUES (head.link, NEW.id, head.sha256);
    UPDATE audit_head SET link = head.link, sha256 = head.sha256;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION audit_link FROM PUBLIC;

-- What was written before there was a chain.
DO $$
DECLARE
    head audit_head;
    a    audit;
BEGIN
    SELECT * INTO head FROM audit_head;
    FOR a IN SELECT * FROM audit ORDER BY id LOOP
        head.link := head.link + 1;
        head.sha256 := audit_sha256(head.sha256, a);
        INSERT INTO audit_chain (link, id, sha256) VALUES (head.link, a.id, head.sha256);
    END LOOP;
    UPDATE audit_head SET link = head.link, sha256 = head.sha256;
END $$;

CREATE CONSTRAINT TRIGGER audit_link AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION audit_link();

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is only ever added to' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_chain_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

GRANT SELECT ON audit_chain, audit_head TO assay_monitor, assay_dashboard;
GRANT SELECT, INSERT, UPDATE ON users TO assay_dashboard;
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, login_failures TO assay_dashboard;
