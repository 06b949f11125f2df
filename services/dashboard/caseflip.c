/* SPDX-License-Identifier: Apache-2.0 */
#include "caseflip.h"

#include "base/array.h"
#include "dashboard.h"
#include "desk/desk.h"
#include "flip/flip.h"
#include "json/json_out.h"
#include "lifestore/row.h"
#include "replaystore/lists.h"
#include "replaystore/past.h"
#include "replaystore/shelf.h"

enum { SHOWN_MOST = 8 }; /* of each side */

/* One case, asked about. */
struct asking {
    struct call *call;
    struct pg_session *s;
    struct shelf *shelf;
    struct past past;
    const struct bundle *bundle; /* NULL: no forest scored it */
    const struct plan *plan;     /* NULL: it was decided without features */
    struct policy *policy;
    struct flip_answer answer;
    bool is_same; /* the decision came out as it is stored */
};

static enum err read_past(struct asking *a, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    int64_t number;
    enum err err = ERR_OK;

    if (!slice_to_i64(a->call->id, &number) || number <= 0)
        return err_set(why, ERR_NOT_FOUND, "there is no such case");
    pg_add_i64(&p, number);
    err = row_ask(a->s, "SELECT account, transaction_id FROM review_cases WHERE \"case\" = $1::int8", &p, &r,
                  why);
    if (!err && pg_rows(r) == 0)
        err = err_set(why, ERR_NOT_FOUND, "there is no case %lld", (long long)number);
    if (!err)
        err = past_read(&a->past, a->s, (uint32_t)pg_get_int(r, 0, 0), pg_get_text(r, 0, 1), &a->call->arena,
                        why);
    pg_result_free(r);
    return err;
}

/* What it was made with. */
static enum err load(struct asking *a, struct why *why)
{
    const struct shelf_model *model;
    int64_t version = past_model(&a->past);
    enum err err = ERR_OK;

    if (version) {
        err = shelf_model(a->shelf, a->s, version, &model, why);
        if (!err)
            a->bundle = model->bundle;
    }
    if (!err && a->past.vector.len)
        err = shelf_plan(a->shelf, a->s, a->past.plan, &a->plan, why);
    if (!err)
        err = shelf_policy(a->shelf, a->s, past_ruleset(&a->past), 0, &a->policy, why);
    if (!err)
        err = shelf_look_at_lists(a->shelf, a->s, why);
    return err;
}

/* What the control slice let through, the policy had declined. */
static enum action policy_action(const struct past *p)
{
    return p->record->is_control ? ACTION_DECLINE : p->action;
}

static bool is_as_stored(const struct asking *a)
{
    const struct past *p = &a->past;

    return a->answer.action == policy_action(p) && a->answer.has_score == p->has_score &&
           (!p->has_score || (a->answer.score == p->score && (!a->bundle || a->answer.margin == p->margin)));
}

static bool is_left(const void *call)
{
    return desk_is_left(call);
}

/* By the lists of the moment; where that is not what was decided, by others that could have been in force. */
static enum err search(struct asking *a, struct why *why)
{
    struct policy_input in = past_input(&a->past, &a->call->arena);
    struct lists_then *lists;
    struct flip *flip;
    enum err err = flip_new(&flip, a->bundle, a->plan, a->policy, a->past.account, why);

    if (err)
        return err;
    flip_limit(flip, 0, is_left, a->call);
    lists = lists_then_open(a->policy, a->shelf, a->s, a->past.decided_at_us);
    do {
        flip_decide(flip, &in, &a->call->arena, &a->answer);
        a->is_same = is_as_stored(a);
    } while (!a->is_same && !desk_is_left(a->call) && lists_then_next(lists));
    if (a->is_same)
        flip_find(flip, &in, &FLIP_ANY, &a->call->arena, &a->answer);
    err = lists_then_err(lists, why);
    lists_then_close(lists);
    flip_free(flip);
    return err;
}

/* ---- what is told ---- */

static const char *decider_name(enum policy_decider decider)
{
    static const char *const names[] = { [POLICY_BY_LIST] = "list",
                                         [POLICY_BY_RULE] = "rule",
                                         [POLICY_BY_THRESHOLD] = "threshold",
                                         [POLICY_BY_MISSING] = "missing" };

    return (size_t)decider < ARRAY_LEN(names) && names[decider] ? names[decider] : "unknown";
}

static void write_notes(struct json_out *o, const struct asking *a)
{
    json_out_list(o, "notes");
    if (a->past.record->is_control)
        json_out_str(
            o, NULL,
            "The control slice let this payment through. What is told here is of the decline before.");
    if (a->answer.decider == POLICY_BY_LIST)
        json_out_str(o, NULL, "A list decided. No number changes that, only the list does.");
    if (!a->past.has_score)
        json_out_str(o, NULL, "No model scored this payment. Only what rules read was tried.");
    else if (!a->bundle)
        json_out_str(
            o, NULL,
            "No forest scored this payment, but the model that learns as labels come. Its score was taken as "
            "it was, and only what rules read was tried.");
    if (a->answer.is_cut)
        json_out_str(o, NULL,
                     "The search was cut: there are more values to try than it may. What is shown was found; "
                     "what is not shown was not ruled out.");
    if (!a->plan)
        json_out_str(o, NULL, "Features were away. Only fields of the payment that rules read were tried.");
    if (past_lacked(&a->past, POLICY_OLDER_FEATURES))
        json_out_str(o, NULL, "The features were those of an earlier moment.");
    json_out_end(o);
}

static void write_change(struct json_out *o, const struct flip_change *c)
{
    json_out_open(o, NULL);
    json_out_str(o, "kind", c->what.is_field ? "field" : "feature");
    json_out_text(o, "name", c->name);
    json_out_text(o, "describe", c->describe);
    json_out_str(o, "way", flip_way_name(c->way));
    json_out_number(o, "before", c->before);
    json_out_number(o, "after", c->after);
    json_out_number(o, "place_before", c->place_before);
    json_out_number(o, "place_after", c->place_after);
    json_out_number(o, "size", c->size);
    json_out_str(o, "action", action_name(c->action));
    if (c->has_score)
        json_out_number(o, "score", c->score);
    else
        json_out_null(o, "score");
    json_out_bool(o, "is_whole", c->is_whole);
    json_out_bool(o, "is_smallest", c->is_smallest);
    json_out_bool(o, "is_read_by_features", c->is_read_by_features);
    json_out_end(o);
}

static void write_side(struct json_out *o, const char *key, const struct flip_side *side)
{
    json_out_open(o, key);
    json_out_int(o, "found", (int64_t)side->count);
    json_out_list(o, "changes");
    for (size_t i = 0; i < side->count && i < SHOWN_MOST; i++)
        write_change(o, &side->changes[i]);
    json_out_end(o);
    json_out_list(o, "unproven");
    for (size_t i = 0; i < side->untold_count; i++)
        json_out_text(o, NULL, side->untold[i]);
    json_out_end(o);
    json_out_end(o);
}

static void write_answer(const struct asking *a)
{
    struct json_out o = json_out_to(&a->call->out);

    json_out_open(&o, NULL);
    json_out_bool(&o, "is_known", true);
    json_out_str(&o, "action", action_name(a->answer.action));
    json_out_str(&o, "decided_by", decider_name(a->answer.decider));
    if (a->answer.has_score)
        json_out_number(&o, "score", a->answer.score);
    else
        json_out_null(&o, "score");
    json_out_int(&o, "tried", (int64_t)a->answer.tried);
    json_out_bool(&o, "is_cut", a->answer.is_cut);
    write_notes(&o, a);
    write_side(&o, "milder", &a->answer.milder);
    write_side(&o, "harder", &a->answer.harder);
    json_out_end(&o);
}

/* What cannot be told, is not guessed at. */
static void write_unknown(struct call *c, const char *because)
{
    struct json_out o = json_out_to(&c->out);

    json_out_open(&o, NULL);
    json_out_bool(&o, "is_known", false);
    json_out_list(&o, "notes");
    json_out_str(&o, NULL, because);
    json_out_end(&o);
    json_out_end(&o);
}

/* What it was made with is not there any more, or cannot be read. */
static bool is_lost(enum err err)
{
    return err == ERR_NOT_FOUND || err == ERR_SYNTAX || err == ERR_INVALID || err == ERR_FORBIDDEN ||
           err == ERR_TOO_LARGE || err == ERR_INTERNAL;
}

enum err case_flip(struct call *c, struct pg_session *s, struct why *why)
{
    struct asking a = { .call = c, .s = s, .shelf = dashboard_shelf(c->ctx) };
    enum err err = read_past(&a, why);

    if (err)
        return err == ERR_SYNTAX ? ERR_INTERNAL : err;
    err = load(&a, why);
    if (!err)
        err = search(&a, why);
    if (is_lost(err)) {
        write_unknown(c, why->text);
        return ERR_OK;
    }
    if (err)
        return err;
    if (a.is_same)
        write_answer(&a);
    else
        write_unknown(
            c, "The decision does not come out again as it is stored, so nothing is told of what would flip "
               "it. Replay shows what differs.");
    return ERR_OK;
}
