/* SPDX-License-Identifier: Apache-2.0 */
#include "replay.h"

#include "dashboard.h"
#include "desk/desk.h"
#include "json/json_out.h"
#include "lifestore/row.h"
#include "replaystore/explain.h"
#include "replaystore/replay.h"

static enum err read_case(struct call *c, struct pg_session *s, struct past *past, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    int64_t number = 0;
    enum err err;

    if (!slice_to_i64(c->id, &number))
        return err_set(why, ERR_NOT_FOUND, "there is no such case");
    pg_add_i64(&p, number);
    err =
        row_ask(s, "SELECT account, transaction_id FROM review_cases WHERE \"case\" = $1::int8", &p, &r, why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no such case");
    if (!err) {
        err = past_read(past, s, (uint32_t)pg_get_int(r, 0, 0), pg_get_text(r, 0, 1), &c->arena, why);
        if (err == ERR_SYNTAX)
            err = err_wrap(why, ERR_INTERNAL, "the stored decision");
    }
    pg_result_free(r);
    return err;
}

static enum err write_rules(struct json_out *o, const char *key, const struct explain_question *q,
                            struct shelf *shelf, struct pg_session *s, struct arena *arena, struct why *why)
{
    struct explanation e;
    enum err err = explain(&e, q, shelf, s, arena, why);

    if (err)
        return err;
    explanation_write(o, key, &e);
    return ERR_OK;
}

static enum err write(struct call *c, struct pg_session *s, struct shelf *shelf, const struct past *past,
                      struct why *why)
{
    struct explain_question q = { .past = past, .which = EXPLAIN_SPOKE };
    struct json_out o = json_out_to(&c->out);
    struct replay replay;
    bool can_explain;
    enum err err = replay_decision(&replay, shelf, s, past, &c->arena, why);

    if (err)
        return err;
    can_explain = replay.steps[REPLAY_RULES] != REPLAY_LOST;
    json_out_open(&o, NULL);
    replay_write(&o, "replay", past, &replay);
    if (can_explain)
        err = write_rules(&o, "explanation", &q, shelf, s, &c->arena, why);
    else
        json_out_null(&o, "explanation");
    q.is_shadow = true;
    if (!err && can_explain && past_shadow(past))
        err = write_rules(&o, "shadow", &q, shelf, s, &c->arena, why);
    else if (!err)
        json_out_null(&o, "shadow");
    json_out_end(&o);
    return err;
}

enum err case_replay(struct call *c, struct pg_session *s, struct why *why)
{
    struct shelf *shelf = dashboard_shelf(c->ctx);
    struct past past;
    enum err err = read_case(c, s, &past, why);

    if (err)
        return err;
    err = shelf_look_at_lists(shelf, s, why);
    return err ? err : write(c, s, shelf, &past, why);
}
