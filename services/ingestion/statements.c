/* SPDX-License-Identifier: Apache-2.0
 * statements.c - what ingestion asks PostgreSQL. Rows come and go in arrays: a group is one statement. */
#include "ingestion.h"

/* The columns of a decision, as arrays $1 to $17, and as columns of `i`. */
#define DECISION_ARRAYS                                                                                      \
    "unnest($1::int4[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::int8[], $6::int2[], "          \
    "$7::float8[], "                                                                                         \
    "$8::float4[], $9::float8[], $10::text[], $11::text[], $12::text[], $13::bytea[], $14::bytea[], "        \
    "$15::int8[], "                                                                                          \
    "$16::bytea[]"
#define DECISION_NAMES                                                                                       \
    "account, transaction_id, known_at, decided_at, n, action, score, margin, p_allow, model_version, "      \
    "ruleset_version, arm, plan, vector, amount_base_minor, record"

const struct pg_statement statements[SQL_COUNT] = {
    [SQL_KEYS] = { "keys",
                   "SELECT k.prefix, k.account, k.secret_sha256, k.scopes, k.rate_per_s, k.burst, "
                   "k.expires_at, "
                   "a.clock = 'simulated', a.deadline_floor_ms, a.deadline_cap_ms, a.allow_numeric_ids "
                   "FROM api_keys k JOIN accounts a USING (account) "
                   "WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())" },

    /* Once a minute, those that were used. */
    [SQL_KEYS_USED] = { "keys_used",
                        "INSERT INTO api_key_uses (prefix, used_at) SELECT prefix, now() FROM "
                        "unnest($1::text[]) "
                        "AS x (prefix) ORDER BY prefix ON CONFLICT (prefix) DO UPDATE SET used_at = now()" },

    /* What is known of these ids: their place, and the decision where there is one. LATERAL, so that each
     * looks into one partition of decisions only. */
    [SQL_LOOKUP] = { "lookup", "SELECT i.ord::int4, t.body_hash, t.known_at, t.n, d.transaction_id IS NOT "
                               "NULL, d.decided_at, "
                               "d.action, d.score, d.margin, d.p_allow, d.model_version, d.ruleset_version, "
                               "d.arm, d.plan, "
                               "d.amount_base_minor, d.record "
                               "FROM unnest($1::int4[], $2::text[]) WITH ORDINALITY AS i(account, id, ord) "
                               "JOIN transaction_ids t ON t.account = i.account AND t.id = i.id "
                               "LEFT JOIN LATERAL (SELECT * FROM decisions x WHERE x.account = t.account "
                               "AND x.transaction_id = t.id AND x.known_at = t.known_at) d ON true" },

    /* Whoever comes second changes nothing: fewer rows than were given means that some were there already. */
    [SQL_COMMIT] = { "commit",
                     "INSERT INTO decisions (" DECISION_NAMES ") SELECT * FROM " DECISION_ARRAYS ") "
                     "ON CONFLICT DO NOTHING" },

    /* Decisions without features: the id is taken, the transaction waits in the outbox for its place in the
     * log, and the decision stands, all or nothing. Returns the places in the arrays that were new. */
    [SQL_RESERVE] = { "reserve",
                      "WITH i AS (SELECT * FROM " DECISION_ARRAYS
                      ", $17::bytea[], $18::bytea[]) WITH ORDINALITY AS x(" DECISION_NAMES
                      ", body_hash, body, ord)), "
                      "ids AS (INSERT INTO transaction_ids (account, id, body_hash, known_at) "
                      "SELECT account, transaction_id, body_hash, known_at FROM i ORDER BY ord "
                      "ON CONFLICT DO NOTHING RETURNING account, id), "
                      "fresh AS (SELECT i.* FROM i JOIN ids ON ids.account = i.account AND ids.id = "
                      "i.transaction_id), "
                      "box AS (INSERT INTO outbox (kind, account, id, known_at, body) "
                      "SELECT 1, account, transaction_id, known_at, body FROM fresh ORDER BY ord), "
                      "done AS (INSERT INTO decisions (" DECISION_NAMES ") SELECT " DECISION_NAMES
                      " FROM fresh) "
                      "SELECT ord::int4 FROM fresh" },

    [SQL_LABELS] = { "labels",
                     "INSERT INTO outbox (kind, account, id, known_at, body) "
                     "SELECT 2, account, id, known_at, body FROM unnest($1::int4[], $2::text[], "
                     "$3::timestamptz[], "
                     "$4::bytea[]) WITH ORDINALITY AS i(account, id, known_at, body, ord) ORDER BY ord" },

    /* Idempotency-Key. A row that is over its time, or whose first request died on the way, is taken over. */
    [SQL_KEY_BEGIN] = { "key_begin",
                        "INSERT INTO idempotency_keys AS k (account, route, key, payload_hash, expires_at) "
                        "VALUES ($1::int4, $2::text, $3::text, $4::bytea, now() + $5::int8 * interval '1 "
                        "ms') "
                        "ON CONFLICT (account, route, key) DO UPDATE SET payload_hash = "
                        "EXCLUDED.payload_hash, "
                        "status = NULL, response = NULL, started_at = now(), expires_at = "
                        "EXCLUDED.expires_at "
                        "WHERE k.expires_at < now() OR (k.status IS NULL AND k.payload_hash = "
                        "EXCLUDED.payload_hash "
                        "AND k.started_at < now() - interval '60 s')" },
    [SQL_KEY_READ] = { "key_read", "SELECT payload_hash, status, response FROM idempotency_keys "
                                   "WHERE account = $1::int4 AND route = $2::text AND key = $3::text" },
    [SQL_KEY_FINISH] = { "key_finish", "UPDATE idempotency_keys SET status = $4::int4, response = $5::bytea "
                                       "WHERE account = $1::int4 AND route = $2::text AND key = $3::text" },
    [SQL_KEY_FORGET] = { "key_forget", "DELETE FROM idempotency_keys "
                                       "WHERE account = $1::int4 AND route = $2::text AND key = $3::text" },
    [SQL_KEY_EXPIRE] = { "key_expire", "DELETE FROM idempotency_keys WHERE expires_at < now()" },

    /* The control slice (control.h). */
    [SQL_SLICES] = { "slices", "SELECT account, share, amount_most, key FROM control_slices" },
    [SQL_SLICE_CLAIM] = { "slice_claim",
                          "SELECT ord, p_allow, is_allowed FROM claim_control_slice($1::int4[], $2::text[], "
                          "$3::int4[], $4::text[], $5::text[], $6::text[], $7::int8[], $8::float8[], "
                          "$9::bool[])" },
    [SQL_SLICE_EXPIRE] = { "slice_expire",
                           "WITH old AS (SELECT account, max(day) - 7 AS day FROM control_slice_used "
                           "GROUP BY account), "
                           "used AS (DELETE FROM control_slice_used u USING old "
                           "WHERE u.account = old.account AND u.day < old.day) "
                           "DELETE FROM control_slice_frame f USING old "
                           "WHERE f.account = old.account AND f.day < old.day" },
};
