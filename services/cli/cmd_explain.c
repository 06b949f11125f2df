/* SPDX-License-Identifier: Apache-2.0
 * cmd_explain.c - `assay explain`: a past decision made again, and the rules that spoke with the value of every
 * sub-expression; `assay rules explain`: the same of any rule set's rules. */
#include "command.h"

#include <inttypes.h>
#include <string.h>

#include "base/array.h"
#include "database.h"
#include "explain_print.h"
#include "pg/session.h"
#include "replaystore/explain.h"
#include "replaystore/replay.h"
#include "rules_file.h"

struct explain_settings {
    bool as_json, from_log, all;
    const char *account, *transaction, *rule;
};

#define SETTING(field) offsetof(struct explain_settings, field)
#define ACCOUNT_OPTION                                                                                       \
    {                                                                                                        \
        "account", OPTION_TEXT, SETTING(account), "NAME", "whose transaction (the only one that has it)"     \
    }

/* What both commands work with. */
struct explaining {
    struct pg_session *s;
    struct shelf *shelf;
    struct arena arena;
    struct past past;
};

static enum err explaining_open(struct explaining *d, const char *account, const char *id, struct why *why)
{
    enum err err = database_open_migrated(&d->s, why);

    d->shelf = shelf_new();
    if (!err)
        err = pg_exec_script(d->s, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", why);
    if (!err)
        err = shelf_look_at_lists(d->shelf, d->s, why);
    return err ? err
               : past_find(&d->past, d->s, slice_str(account ? account : ""), slice_str(id), &d->arena, why);
}

static void release(struct explaining *d)
{
    shelf_free(d->shelf);
    pg_session_close(d->s);
    arena_release(&d->arena);
}

/* ---- for a person ---- */

static void print_replay(const struct past *p, const struct replay *r)
{
    printf("%.*s: %s, by model %.*s and rule set %.*s\n", SLICE_ARG(p->id), action_name(p->action),
           SLICE_ARG(p->model_version.len ? p->model_version : SLICE("none")), SLICE_ARG(p->ruleset_version));
    for (int i = 0; i < REPLAY_STEP_COUNT; i++)
        printf("  %-8s %-10s %.*s\n", replay_step_name((enum replay_step)i),
               r->steps[i] == REPLAY_AS_STORED ? "as stored" : replay_outcome_name(r->steps[i]),
               SLICE_ARG(r->notes[i]));
    for (size_t i = 0; i < r->difference_count && i < REPLAY_DIFFERENCES_MAX; i++)
        printf("    %.*s\n      stored    %.*s\n      computed  %.*s\n", SLICE_ARG(r->differences[i].field),
               SLICE_ARG(r->differences[i].stored), SLICE_ARG(r->differences[i].computed));
}

static void print_json(const struct buf *text)
{
    printf("%.*s\n", SLICE_ARG(buf_slice(text)));
}

/* ---- explain ---- */

struct vector_check {
    int64_t entries, differing;
    bool is_there;
};

static enum err check_vector(struct vector_check *v, struct explaining *d, struct why *why)
{
    enum err err = replay_vector(&d->past, d->shelf, d->s, &v->entries, &v->differing, why);

    v->is_there = err == ERR_OK;
    return err == ERR_NOT_FOUND && d->past.vector.len == 0 ? ERR_OK : err;
}

static void report(const struct explain_settings *c, const struct explaining *d, const struct replay *r,
                   const struct vector_check *v, const struct explanation *e)
{
    struct buf text;
    struct json_out o;

    if (!c->as_json) {
        print_replay(&d->past, r);
        if (c->from_log)
            printf("  %-8s %-10s %" PRId64 " entries of the log read\n", "vector",
                   !v->is_there   ? "none"
                   : v->differing ? "differs"
                                  : "matches",
                   v->entries);
        explain_print(e);
        return;
    }
    buf_init(&text, 0);
    o = json_out_to(&text);
    json_out_open(&o, NULL);
    replay_write(&o, "replay", &d->past, r);
    if (c->from_log) {
        json_out_open(&o, "vector");
        json_out_bool(&o, "is_there", v->is_there);
        json_out_int(&o, "entries", v->entries);
        json_out_int(&o, "differing_bytes", v->differing);
        json_out_end(&o);
    }
    explanation_write(&o, "explanation", e);
    json_out_end(&o);
    print_json(&text);
    buf_release(&text);
}

static enum exit_code explain_one(const void *settings, char **operands, size_t operand_count)
{
    const struct explain_settings *c = settings;
    struct explaining d = { 0 };
    struct replay r = { 0 };
    struct vector_check v = { 0 };
    struct explanation e = { 0 };
    struct why why = { 0 };
    enum err err = explaining_open(&d, c->account, operands[0], &why);
    enum exit_code code = EXIT_DONE;

    (void)operand_count;
    if (!err)
        err = replay_decision(&r, d.shelf, d.s, &d.past, &d.arena, &why);
    if (!err && c->from_log)
        err = check_vector(&v, &d, &why);
    if (!err && r.steps[REPLAY_RULES] != REPLAY_LOST)
        err = explain(
            &e, &(struct explain_question){ .past = &d.past, .which = c->all ? EXPLAIN_ALL : EXPLAIN_SPOKE },
            d.shelf, d.s, &d.arena, &why);
    if (!err)
        report(c, &d, &r, &v, &e);
    if (!err && (r.outcome == REPLAY_DIFFERS || r.outcome == REPLAY_LOST || v.differing))
        code = EXIT_FAILED;
    release(&d);
    return err ? command_end(err, &why) : code;
}

static const struct option explain_options[] = {
    ACCOUNT_OPTION,
    { "all", OPTION_FLAG, SETTING(all), NULL, "all rules, not only those that fired or erred" },
    { "from-log", OPTION_FLAG, SETTING(from_log), NULL,
      "compute the vector again too, from all entries of the account before it" },
    { "json", OPTION_FLAG, SETTING(as_json), NULL, "as JSON" },
};

const struct command cmd_explain = {
    .name = "explain",
    .operands = "<transaction>",
    .purpose = "Make a past decision again, and show how its rules came to what they said",
    .text = "Makes the decision again with the model, the rule set and the lists of its time, and says of "
            "each step\n"
            "whether it comes out bit for bit; what differs is shown with both values. Then the rules that "
            "fired, each\n"
            "with the value of every part of its condition. Status 1 when anything differs.\n\n"
            "  assay explain tx-4711\n"
            "  assay explain tx-4711 --from-log --all",
    .options = explain_options,
    .option_count = ARRAY_LEN(explain_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct explain_settings),
    .run = explain_one,
};

/* ---- rules explain ---- */

static enum exit_code explain_rules(const void *settings, char **operands, size_t operand_count)
{
    const struct explain_settings *c = settings;
    struct explaining d = { 0 };
    struct explanation e = { 0 };
    struct explain_question q = { .past = &d.past,
                                  .which = c->rule ? EXPLAIN_ONE : EXPLAIN_ALL,
                                  .rule = slice_str(c->rule ? c->rule : "") };
    struct why why = { 0 };
    struct buf document, text;
    struct json_out o;
    enum err err = ERR_OK;

    (void)operand_count;
    buf_init(&document, 0);
    buf_init(&text, 0);
    if (!c->transaction)
        err = err_set(&why, ERR_INVALID, "--transaction says which payment");
    if (!err && !(slice_to_i64(slice_str(operands[0]), &q.version) && q.version > 0)) {
        q.version = 0;
        buf_release(&document);
        err = rules_file_read(&document, operands[0], &why);
        q.document = buf_slice(&document);
    }
    if (!err)
        err = explaining_open(&d, c->account, c->transaction, &why);
    if (!err)
        err = explain(&e, &q, d.shelf, d.s, &d.arena, &why);
    if (!err && c->as_json) {
        o = json_out_to(&text);
        explanation_write(&o, NULL, &e);
        print_json(&text);
    } else if (!err) {
        explain_print(&e);
    }
    buf_release(&document);
    buf_release(&text);
    release(&d);
    return command_end(err, &why);
}

static const struct option rules_options[] = {
    { "transaction", OPTION_TEXT, SETTING(transaction), "ID", "of which payment" },
    { "rule", OPTION_TEXT, SETTING(rule), "ID", "this rule only" },
    ACCOUNT_OPTION,
    { "json", OPTION_FLAG, SETTING(as_json), NULL, "as JSON" },
};

const struct command cmd_rules_explain = {
    .name = "rules explain",
    .operands = "<file or version>",
    .purpose = "Show what each part of a rule comes to for a past payment",
    .text = "Evaluates the rules for a payment that was decided: with its features and score, and the lists "
            "as they were\n"
            "then. What && || and ?: passed over says so.\n\n"
            "  assay rules explain my-rules.yaml --transaction tx-4711 --rule large\n"
            "  assay rules explain 12 --transaction tx-4711",
    .options = rules_options,
    .option_count = ARRAY_LEN(rules_options),
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct explain_settings),
    .run = explain_rules,
};
