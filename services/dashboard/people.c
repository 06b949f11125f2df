/* SPDX-License-Identifier: Apache-2.0 */
#include "people.h"

#include "auditstore/audit.h"
#include "dashboard.h"
#include "desk/desk.h"
#include "json/members.h"
#include "live.h"
#include "userstore/user.h"

enum err users_list(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct user *all;
    size_t count;
    enum err err = user_list(s, &all, &count, &c->arena, why);

    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_list(&o, "users");
    for (size_t i = 0; i < count; i++)
        user_write(&o, NULL, &all[i]);
    json_out_end(&o);
    json_out_end(&o);
    return ERR_OK;
}

enum err users_add(struct call *c, struct pg_session *s, struct why *why)
{
    enum { NAME, FULL_NAME, ROLES, PASSWORD, COUNT };
    struct json_member m[COUNT] = { [NAME] = { "name", JSON_STRING, true, NULL },
                                    [FULL_NAME] = { "full_name", JSON_STRING, false, NULL },
                                    [ROLES] = { "roles", JSON_ARRAY, true, NULL },
                                    [PASSWORD] = { "password", JSON_STRING, true, NULL } };
    struct slice roles;
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err)
        err = json_member_words(&m[ROLES], &c->arena, &roles, why);
    if (!err)
        err = user_add(s,
                       &(struct user){ .name = json_member_text(&m[NAME]),
                                       .full_name = json_member_text(&m[FULL_NAME]),
                                       .roles = roles },
                       json_member_text(&m[PASSWORD]), slice_str(c->actor), why);
    json_decref(body);
    c->status = 204;
    return err;
}

enum err users_password(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_member m = { "password", JSON_STRING, true, NULL };
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, &m, 1, why);

    if (!err)
        err = user_set_password(s, c->id, json_member_text(&m), slice_str(c->actor), why);
    if (!err)
        live_look(dashboard_live(c->ctx));
    json_decref(body);
    c->status = 204;
    return err;
}

enum err users_roles(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_member m = { "roles", JSON_ARRAY, true, NULL };
    struct slice roles;
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, &m, 1, why);

    if (!err)
        err = json_member_words(&m, &c->arena, &roles, why);
    if (!err)
        err = user_set_roles(s, c->id, roles, slice_str(c->actor), why);
    if (!err)
        live_look(dashboard_live(c->ctx));
    json_decref(body);
    c->status = 204;
    return err;
}

enum err users_disable(struct call *c, struct pg_session *s, struct why *why)
{
    enum err err;

    if (slice_eq_str(c->id, c->actor))
        return err_set(why, ERR_CONFLICT, "nobody locks himself out");
    c->status = 204;
    err = user_disable(s, c->id, true, slice_str(c->actor), why);
    if (!err)
        live_look(dashboard_live(c->ctx));
    return err;
}

enum err users_enable(struct call *c, struct pg_session *s, struct why *why)
{
    c->status = 204;
    return user_disable(s, c->id, false, slice_str(c->actor), why);
}

/* ---- the audit trail ---- */

enum err audit_get(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct audit_filter filter = { .before = c->before,
                                   .actor = c->query[QUERY_ACTOR],
                                   .action = c->query[QUERY_ACTION],
                                   .subject = c->query[QUERY_SUBJECT],
                                   .most = (size_t)c->limit };
    struct audit_row *all;
    size_t count;
    enum err err = audit_list(s, &filter, &all, &count, &c->arena, why);

    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_list(&o, "rows");
    for (size_t i = 0; i < count; i++)
        audit_row_write(&o, NULL, &all[i]);
    json_out_end(&o);
    json_out_end(&o);
    return ERR_OK;
}

enum err audit_post_verify(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct audit_check check;
    enum err err = audit_verify(s, &check, why);

    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_bool(&o, "is_whole", check.is_whole);
    json_out_int(&o, "rows", check.rows);
    json_out_str(&o, "head", check.head);
    json_out_str(&o, "trouble", check.is_whole ? NULL : check.trouble.text);
    json_out_end(&o);
    return ERR_OK;
}
