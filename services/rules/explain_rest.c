/* SPDX-License-Identifier: Apache-2.0 */
#include "explain_rest.h"

#include "json/json.h"
#include "json/members.h"
#include "replaystore/explain.h"

enum { DOCUMENT, VERSION, TRANSACTION, ACCOUNT, RULE, COUNT };

static enum err answer(struct call *c, struct pg_session *s, const struct json_member m[COUNT],
                       struct why *why)
{
    struct slice rule = json_member_text(&m[RULE]);
    struct past past;
    struct explain_question q = { .past = &past,
                                  .document = json_member_json(&m[DOCUMENT], &c->arena),
                                  .version = json_member_int(&m[VERSION], 0),
                                  .which = rule.len ? EXPLAIN_ONE : EXPLAIN_ALL,
                                  .rule = rule };
    struct json_out o = json_out_to(&c->out);
    struct shelf *shelf = shelf_new();
    struct explanation e;
    enum err err =
        past_find(&past, s, json_member_text(&m[ACCOUNT]), json_member_text(&m[TRANSACTION]), &c->arena, why);

    if (!err)
        err = shelf_look_at_lists(shelf, s, why);
    if (!err)
        err = explain(&e, &q, shelf, s, &c->arena, why);
    if (!err)
        explanation_write(&o, NULL, &e);
    shelf_free(shelf);
    return err;
}

enum err explain_rules(struct call *c, struct pg_session *s, struct why *why)
{
    struct json_member m[COUNT] = { [DOCUMENT] = { "document", JSON_OBJECT, false, NULL },
                                    [VERSION] = { "version", JSON_INTEGER, false, NULL },
                                    [TRANSACTION] = { "transaction_id", JSON_STRING, true, NULL },
                                    [ACCOUNT] = { "account", JSON_STRING, false, NULL },
                                    [RULE] = { "rule", JSON_STRING, false, NULL } };
    json_t *body = NULL;
    enum err err = json_members_read(&body, c->body, m, COUNT, why);

    if (!err && m[DOCUMENT].value && m[VERSION].value)
        err = err_set(why, ERR_INVALID, "a document or a version, not both");
    if (!err && m[VERSION].value && json_member_int(&m[VERSION], 0) < 1)
        err = err_set(why, ERR_NOT_FOUND, "no such number");
    if (!err)
        err = answer(c, s, m, why);
    json_decref(body);
    return err;
}
