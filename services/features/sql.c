/* SPDX-License-Identifier: Apache-2.0 */
#include "sql.h"

#include "logstore/reader.h"

/* The advisory lock that its holder alone appends under: "assaylog" in ASCII. Of the session, not of a
 * transaction: a connection that is lost loses it, and can append nothing any more. So these connections must
 * not go through a pooler that lends sessions out by the transaction. */
#define LOG_LOCK "7022913376817541991"

const struct pg_statement sql_statements[SQL_COUNT] = {
    [SQL_TRY_LOCK] = { "try_lock", "SELECT pg_try_advisory_lock(" LOG_LOCK ")" },
    [SQL_END_SILENT_HOLDER] = { "end_silent_holder",
                                "SELECT end_silent_log_holder(" LOG_LOCK ", $1::int8 * interval '1 ms')" },
    [SQL_NEXT_EPOCH] = { "next_epoch",
                         "UPDATE log_epoch SET epoch = epoch + 1, holder = $1::text, since = now() "
                         "RETURNING epoch" },
    [SQL_TAIL] = { "tail", "SELECT " LOG_COLUMNS " FROM log l WHERE n > $1::int8 ORDER BY n LIMIT $2::int4" },
    [SQL_MODELS] = { "models", "SELECT concat((SELECT string_agg(DISTINCT version::text, ',' ORDER BY "
                               "version::text) FROM "
                               "aliases), ';', (SELECT string_agg(version || '.' || revision, ',' ORDER BY "
                               "version) FROM "
                               "rulesets_needed($1::int8 * interval '1 ms')))" },
    [SQL_ENSURE_PARTITIONS] = { "ensure_partitions",
                                "SELECT ensure_partitions($1::timestamptz, $2::timestamptz)" },

    /* Fails the whole transaction, by a division by zero, when another holder has begun an epoch since. */
    [SQL_CHECK_EPOCH] = { "check_epoch", "SELECT 1 / (epoch = $1::int8)::int FROM log_epoch" },

    [SQL_LOOKUP_IDS] = { "lookup_ids",
                         "SELECT i.at, t.body_hash, t.n, t.known_at "
                         "FROM unnest($1::int4[], $2::int4[], $3::text[]) AS i (at, account, id) "
                         "JOIN transaction_ids t ON t.account = i.account AND t.id = i.id" },
    [SQL_LOOKUP_LABELS] = { "lookup_labels",
                            "SELECT i.at, EXISTS (SELECT FROM labels l WHERE l.account = i.account "
                            "AND l.transaction_id = i.id AND l.source = i.source AND l.labelled_at = "
                            "i.labelled_at "
                            "AND l.is_fraud = i.is_fraud), EXISTS (SELECT FROM transaction_ids t "
                            "WHERE t.account = i.account AND t.id = i.id) "
                            "FROM unnest($1::int4[], $2::int4[], $3::text[], $4::int2[], $5::timestamptz[], "
                            "$6::bool[]) "
                            "AS i (at, account, id, source, labelled_at, is_fraud)" },

    [SQL_ADD_IDS] = { "add_ids", "INSERT INTO transaction_ids (account, id, body_hash, known_at, n, epoch) "
                                 "SELECT *, $6::int8 FROM unnest($1::int4[], $2::text[], $3::bytea[], "
                                 "$4::timestamptz[], $5::int8[])" },
    [SQL_SET_IDS] = { "set_ids", "UPDATE transaction_ids t SET n = i.n, epoch = $4::int8 "
                                 "FROM unnest($1::int4[], $2::text[], $3::int8[]) AS i (account, id, n) "
                                 "WHERE t.account = i.account AND t.id = i.id AND t.n IS NULL" },
    [SQL_ADD_LABELS] = { "add_labels",
                         "INSERT INTO labels (account, transaction_id, source, labelled_at, is_fraud, "
                         "known_at, n) SELECT * FROM unnest($1::int4[], $2::text[], $3::int2[], "
                         "$4::timestamptz[], $5::bool[], $6::timestamptz[], $7::int8[])" },
    [SQL_ADD_ENTRIES] = { "add_entries", "INSERT INTO log (n, kind, account, known_at, body, epoch) "
                                         "SELECT *, $6::int8 FROM unnest($1::int8[], $2::int2[], $3::int4[], "
                                         "$4::timestamptz[], $5::bytea[])" },
    [SQL_ADD_PLAN] = { "add_plan", "INSERT INTO plans (plan, definition) VALUES ($1::bytea, $2::text) "
                                   "ON CONFLICT DO NOTHING" },

    [SQL_READ_OUTBOX] = { "read_outbox", "SELECT seq, kind, account, id, known_at, body FROM outbox "
                                         "WHERE seq > $1::int8 ORDER BY seq LIMIT $2::int4" },
    [SQL_DELETE_OUTBOX] = { "delete_outbox", "DELETE FROM outbox WHERE seq = ANY ($1::int8[])" },
};
