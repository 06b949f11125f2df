/* SPDX-License-Identifier: Apache-2.0 */
#include "auditstore/audit.h"

#include <inttypes.h>

#include "base/hash.h"
#include "lifestore/row.h"

enum err audit_list(struct pg_session *s, const struct audit_filter *filter, struct audit_row **out,
                    size_t *count, struct arena *arena, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_i64(&p, filter->before);
    pg_add_text(&p, filter->actor);
    pg_add_text(&p, filter->action);
    pg_add_text(&p, filter->subject);
    pg_add_i64(&p, (int64_t)filter->most);
    err =
        row_ask(s,
                "SELECT a.id, coalesce(c.link, 0), a.at, coalesce(n.name, ''), a.actor, a.action, a.subject, "
                "a.detail::text FROM audit a LEFT JOIN audit_chain c USING (id) LEFT JOIN accounts n ON "
                "n.account = a.account WHERE ($1::int8 = 0 OR a.id < $1::int8) AND ($2::text = '' OR a.actor "
                "= $2::text) AND ($3::text = '' OR (right($3::text, 1) <> '.' AND a.action = $3::text) OR "
                "(right($3::text, 1) = '.' AND starts_with(a.action, $3::text))) AND ($4::text = '' OR "
                "a.subject = $4::text) ORDER BY a.id DESC LIMIT $5::int8",
                &p, &r, why);
    *count = pg_rows(r);
    *out = arena_new(arena, struct audit_row, *count);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (struct audit_row){ .id = pg_get_int(r, i, 0),
                                        .link = pg_get_int(r, i, 1),
                                        .at_us = pg_get_time_us(r, i, 2),
                                        .account = row_text(r, i, 3, arena),
                                        .actor = row_text(r, i, 4, arena),
                                        .action = row_text(r, i, 5, arena),
                                        .subject = row_text(r, i, 6, arena),
                                        .detail = row_text(r, i, 7, arena) };
    pg_result_free(r);
    return err;
}

void audit_row_write(struct json_out *o, const char *key, const struct audit_row *row)
{
    json_out_open(o, key);
    json_out_int(o, "id", row->id);
    json_out_int(o, "link", row->link);
    json_out_time(o, "at", row->at_us);
    json_out_text(o, "account", row->account);
    json_out_text(o, "actor", row->actor);
    json_out_text(o, "action", row->action);
    json_out_text(o, "subject", row->subject);
    json_out_json(o, "detail", row->detail);
    json_out_end(o);
}

/* ---- the chain ---- */

/* In the order of links, each with what it should be, and the place that it should have; rows without a link come
 * last. `what`: 0 fits, 1 a link is missing, 2 its row is gone, 3 the hash is another, 4 a row is in no link. */
static const char verify_sql[] =
    "WITH links AS (SELECT c.link, c.id, a.id IS NULL AS is_gone, c.sha256, "
    "row_number() OVER (ORDER BY c.link) AS place, "
    "audit_sha256(lag(c.sha256, 1, sha256('')) OVER (ORDER BY c.link), a) AS computed "
    "FROM audit_chain c LEFT JOIN audit a USING (id)), "
    "found AS (SELECT link, id, CASE WHEN link <> place THEN 1 WHEN is_gone THEN 2 "
    "WHEN sha256 IS DISTINCT FROM computed THEN 3 END AS what FROM links "
    "UNION ALL SELECT (SELECT count(*) FROM audit_chain) + 1, a.id, 4 FROM audit a WHERE NOT EXISTS "
    "(SELECT FROM audit_chain c WHERE c.id = a.id)) "
    "SELECT link, id, what::int4 FROM found WHERE what IS NOT NULL ORDER BY link, id LIMIT 1";

static const char head_sql[] =
    "SELECT (SELECT count(*) FROM audit), h.link, h.sha256, (SELECT max(link) FROM audit_chain) IS NOT "
    "DISTINCT "
    "FROM nullif(h.link, 0) AND (h.link = 0 OR EXISTS (SELECT FROM audit_chain c WHERE c.link = h.link AND "
    "c.sha256 = h.sha256)) FROM audit_head h";

static void tell(struct audit_check *check, int64_t link, int64_t id, int64_t what)
{
    static const char *const texts[] = {
        [1] = "the link before it is missing",
        [2] = "its row was removed",
        [3] = "its row, or a link before it, was changed",
        [4] = "it was put in past the chain",
    };

    check->is_whole = false;
    check->broken_link = link;
    check->broken_id = id;
    err_set(&check->trouble, ERR_CONFLICT, "link %" PRId64 ", row %" PRId64 ": %s", link, id, texts[what]);
}

enum err audit_verify(struct pg_session *s, struct audit_check *check, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = pg_exec_script(s, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", why);

    *check = (struct audit_check){ .is_whole = true };
    if (!err)
        err = row_ask(s, head_sql, NULL, &r, why);
    if (!err && pg_rows(r) != 1) {
        check->is_whole = false;
        err_set(&check->trouble, ERR_CONFLICT, "the head of the chain is missing");
    } else if (!err) {
        check->rows = pg_get_int(r, 0, 0);
        hex_encode((const unsigned char *)pg_get_bytes(r, 0, 2).ptr, SHA256_BYTES, check->head);
        if (!pg_get_bool(r, 0, 3)) {
            check->is_whole = false;
            check->broken_link = pg_get_int(r, 0, 1);
            err_set(&check->trouble, ERR_CONFLICT,
                    "the head is link %" PRId64 ", and the chain does not end there", check->broken_link);
        }
    }
    pg_result_free(r);
    r = NULL;
    if (!err)
        err = row_ask(s, verify_sql, NULL, &r, why);
    if (!err && pg_rows(r))
        tell(check, pg_get_int(r, 0, 0), pg_get_int(r, 0, 1), pg_get_int(r, 0, 2));
    pg_result_free(r);
    if (pg_exec_script(s, "COMMIT", err ? &(struct why){ 0 } : why) != ERR_OK && !err)
        err = ERR_UNAVAILABLE;
    return err;
}
