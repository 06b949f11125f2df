/* SPDX-License-Identifier: Apache-2.0 */
#include "apikeys.h"

#include "desk/desk.h"
#include "json/members.h"
#include "keystore/key.h"
#include "lifestore/row.h"

/* The names of accounts that a key may be made for. */
static enum err write_accounts(struct json_out *o, struct pg_session *s, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err = row_ask(s, "SELECT name FROM accounts WHERE account > 0 ORDER BY name", NULL, &r, why);

    json_out_list(o, "accounts");
    for (size_t i = 0; !err && i < pg_rows(r); i++)
        json_out_text(o, NULL, pg_get_text(r, i, 0));
    json_out_end(o);
    pg_result_free(r);
    return err;
}

enum err keys_list(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_out o = json_out_to(&c->out);
    struct key_row *all;
    size_t count;
    enum err err = key_list(s, SLICE(""), &all, &count, &c->arena, why);

    if (err)
        return err;
    json_out_open(&o, NULL);
    json_out_list(&o, "keys");
    for (size_t i = 0; i < count; i++)
        key_write(&o, NULL, &all[i]);
    json_out_end(&o);
    json_out_list(&o, "scopes");
    for (size_t i = 0; i < key_scope_count; i++) {
        json_out_open(&o, NULL);
        json_out_str(&o, "name", key_scopes[i].name);
        json_out_str(&o, "may", key_scopes[i].may);
        json_out_end(&o);
    }
    json_out_end(&o);
    err = write_accounts(&o, s, why);
    json_out_end(&o);
    return err;
}

/* The one answer that has the secret. */
static void write_secret(struct call *c, struct api_key *key)
{
    struct json_out o = json_out_to(&c->out);

    json_out_open(&o, NULL);
    json_out_str(&o, "prefix", key->prefix);
    json_out_str(&o, "key", key->text);
    json_out_end(&o);
    api_key_forget(key);
    c->status = 201;
}

enum err keys_add(struct call *c, struct pg_session *s, struct why *why)
{
    enum { ACCOUNT, SCOPES, OWNER, NOTE, RATE, BURST, DAYS, COUNT };
    struct json_member m[COUNT] = { [ACCOUNT] = { "account", JSON_STRING, true, NULL },
                                    [SCOPES] = { "scopes", JSON_ARRAY, true, NULL },
                                    [OWNER] = { "owner", JSON_STRING, false, NULL },
                                    [NOTE] = { "note", JSON_STRING, false, NULL },
                                    [RATE] = { "rate_per_s", JSON_INTEGER, false, NULL },
                                    [BURST] = { "burst", JSON_INTEGER, false, NULL },
                                    [DAYS] = { "days", JSON_INTEGER, false, NULL } };
    struct api_key key;
    struct slice scopes;
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err)
        err = json_member_words(&m[SCOPES], &c->arena, &scopes, why);
    if (!err)
        err = key_make(s,
                       &(struct key_wish){ .account = json_member_text(&m[ACCOUNT]),
                                           .scopes = scopes,
                                           .owner = json_member_text(&m[OWNER]),
                                           .note = json_member_text(&m[NOTE]),
                                           .rate_per_s = json_member_int(&m[RATE], 0),
                                           .burst = json_member_int(&m[BURST], 0),
                                           .days = json_member_int(&m[DAYS], 0) },
                       slice_str(c->actor), &key, why);
    if (!err)
        write_secret(c, &key);
    json_decref(body);
    return err;
}

enum err keys_rotate(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_member m = { "grace_s", JSON_INTEGER, false, NULL };
    struct api_key key;
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body.len ? c->body : SLICE("{}"), &m, 1, why);

    if (!err)
        err = key_rotate(s, c->id, json_member_int(&m, 0), slice_str(c->actor), &key, why);
    if (!err)
        write_secret(c, &key);
    json_decref(body);
    return err;
}

enum err keys_revoke(struct call *c, struct pg_session *s, struct why *why)
{
    c->status = 204;
    return key_revoke(s, c->id, slice_str(c->actor), why);
}
