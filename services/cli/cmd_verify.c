/* SPDX-License-Identifier: Apache-2.0
 * cmd_verify.c - `assay verify`: PostgreSQL alone must give every stored vector again. */
#include "command.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "again.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "database.h"
#include "featurestore/plan.h"
#include "featurestore/store.h"
#include "logstore/reader.h"
#include "pg/session.h"

enum { SHOWN_MAX = 10 };

struct verify_settings {
    bool as_json, without_log;
    int64_t decisions, seed;
};

static const struct option options[] = {
    { "decisions", OPTION_INT, offsetof(struct verify_settings, decisions), "N",
      "make so many random decisions again, with the models and rule sets that made them" },
    { "seed", OPTION_INT, offsetof(struct verify_settings, seed), "N", "which ones (1)" },
    { "no-log", OPTION_FLAG, offsetof(struct verify_settings, without_log), NULL,
      "leave out the log and its vectors" },
    { "json", OPTION_FLAG, offsetof(struct verify_settings, as_json), NULL, "as JSON" },
};

static const struct verify_settings defaults = { .seed = 1 };

/* A state for each plan that decisions were made under; all get every entry of the log. */
struct lane {
    unsigned char hash[SHA256_BYTES];
    struct plan *plan;
    struct store *store;
    double *values;
    unsigned char *vector;
};

struct verify {
    struct lane *lanes;
    size_t lane_count;
    struct arena scratch;
    int64_t entries, compared, differing_vectors, differing_bytes, unreadable;
};

/* What one query each counts, and whether it must be 0. */
static const struct {
    const char *name, *meaning, *sql;
    bool must_be_zero;
} counts[] = {
    { "decisions", "decisions stored", "SELECT count(*) FROM decisions", false },
    { "without_vector", "of them decided without features",
      "SELECT count(*) FROM decisions WHERE vector = ''", false },
    { "labels", "labels", "SELECT count(*) FROM labels", false },
    { "undecided", "transactions in the log without a decision (history, or their caller gave up)",
      "SELECT count(*) FROM log l WHERE kind = 1 AND NOT EXISTS (SELECT FROM transaction_ids i JOIN "
      "decisions d "
      "ON d.account = i.account AND d.transaction_id = i.id WHERE i.n = l.n)",
      false },
    { "waiting", "transactions that wait in the outbox", "SELECT count(*) FROM outbox", false },
    { "second_decisions", "ids with more than one decision",
      "SELECT count(*) FROM (SELECT FROM decisions GROUP BY account, transaction_id HAVING count(*) > 1) d",
      true },
    { "decisions_without_id", "decisions whose id or time is not the stored one",
      "SELECT count(*) FROM decisions d WHERE NOT EXISTS (SELECT FROM transaction_ids i WHERE i.account = "
      "d.account "
      "AND i.id = d.transaction_id AND i.known_at = d.known_at)",
      true },
    { "lost_ids", "ids that are neither in the log nor in the outbox",
      "SELECT count(*) FROM transaction_ids i WHERE n IS NULL AND NOT EXISTS (SELECT FROM outbox o WHERE "
      "o.account = i.account AND o.id = i.id)",
      true },
    { "entries_without_id", "entries of the log that no id points to, or the other way round",
      "SELECT count(*) FROM (SELECT n, epoch, known_at FROM transaction_ids WHERE n IS NOT NULL) i FULL JOIN "
      "(SELECT n, epoch, known_at FROM log WHERE kind = 1) l ON l.n = i.n AND l.epoch = i.epoch "
      "AND l.known_at = i.known_at WHERE i.n IS NULL OR l.n IS NULL",
      true },
    { "label_entries", "labels and label entries that do not match",
      "SELECT count(*) FROM labels FULL JOIN (SELECT n FROM log WHERE kind = 2) l USING (n) "
      "WHERE labels.account IS NULL OR l.n IS NULL",
      true },
    { "holes", "numbers missing between the log's first and last entry",
      "SELECT coalesce(max(n) - min(n) + 1 - count(*), 0) FROM log", true },
    { "vectors_without_entry", "stored vectors that name no entry of the log",
      "SELECT count(*) FROM decisions d WHERE vector <> '' AND NOT EXISTS (SELECT FROM log l WHERE l.n = d.n "
      "AND l.known_at = d.known_at AND l.kind = 1)",
      true },
};

static enum err open_lanes(struct verify *v, struct pg_session *s, struct why *why)
{
    struct pg_result *r = NULL;
    enum err err =
        pg_exec(s,
                "SELECT d.plan, p.definition FROM (SELECT DISTINCT plan FROM decisions WHERE vector <> '') d "
                "LEFT JOIN plans p USING (plan)",
                NULL, &r, why);

    v->lane_count = err ? 0 : pg_rows(r);
    v->lanes = mem_new_n(struct lane, v->lane_count + 1);
    for (size_t i = 0; !err && i < v->lane_count; i++) {
        struct lane *lane = &v->lanes[i];

        if (pg_is_null(r, i, 1) || pg_get_bytes(r, i, 0).len != SHA256_BYTES) {
            err = err_set(why, ERR_NOT_FOUND, "decisions name a plan that is not in `plans`");
            break;
        }
        memcpy(lane->hash, pg_get_bytes(r, i, 0).ptr, SHA256_BYTES);
        err = plan_parse(&lane->plan, pg_get_text(r, i, 1), why);
        if (err)
            break;
        lane->store = store_new(lane->plan);
        lane->values = mem_new_n(double, plan_columns(lane->plan) + 1);
        lane->vector = mem_new_n(unsigned char, 4 * plan_columns(lane->plan) + 1);
    }
    pg_result_free(r);
    return err;
}

static void close_lanes(struct verify *v)
{
    for (size_t i = 0; i < v->lane_count; i++) {
        store_free(v->lanes[i].store);
        plan_free(v->lanes[i].plan);
        mem_free(v->lanes[i].values);
        mem_free(v->lanes[i].vector);
    }
    mem_free(v->lanes);
    arena_release(&v->scratch);
}

static void compare(struct verify *v, struct lane *lane, struct slice stored)
{
    size_t columns = plan_columns(lane->plan);
    int64_t differing = 0;

    store_vector_pack(lane->values, columns, lane->vector);
    v->compared++;
    for (size_t i = 0; i < 4 * columns && i < stored.len; i++)
        differing += lane->vector[i] != (unsigned char)stored.ptr[i];
    differing +=
        stored.len > 4 * columns ? (int64_t)(stored.len - 4 * columns) : (int64_t)(4 * columns - stored.len);
    v->differing_bytes += differing;
    v->differing_vectors += differing > 0;
    if (differing && v->differing_vectors <= SHOWN_MAX)
        fprintf(stderr, "entry %" PRIu64 ": %" PRId64 " bytes differ\n", store_last(lane->store), differing);
}

/* An entry, and the plan and vector of its decision. */
static bool on_row(void *ctx, const struct slice *fields, size_t count)
{
    struct verify *v = ctx;
    struct entry e = entry_of_fields(fields);
    struct slice plan = fields[LOG_COLUMN_COUNT], vector = fields[LOG_COLUMN_COUNT + 1];
    union entry_body body;
    struct why why;
    bool is_sound = entry_open(&body, &e, &v->scratch, &why) == ERR_OK;

    (void)count;
    v->entries++;
    v->unreadable += !is_sound;
    for (size_t i = 0; is_sound && i < v->lane_count; i++) {
        struct lane *lane = &v->lanes[i];

        if (e.kind == ENTRY_LABEL)
            store_apply_label(lane->store, e.n, &body.label);
        if (e.kind != ENTRY_TXN)
            continue;
        store_apply_txn(lane->store, e.n, &body.txn, lane->values);
        if (vector.len && slice_eq(plan, slice_of(lane->hash, SHA256_BYTES)))
            compare(v, lane, vector);
    }
    arena_reset(&v->scratch);
    return true;
}

static enum err replay(struct verify *v, struct pg_session *s, struct why *why)
{
    return pg_copy_out(s,
                       "SELECT " LOG_COLUMNS ", d.plan, d.vector FROM log l LEFT JOIN decisions d "
                       "ON d.n = l.n AND d.known_at = l.known_at AND l.kind = 1 ORDER BY l.n",
                       on_row, v, why);
}

static enum err count_all(struct pg_session *s, int64_t values[ARRAY_LEN(counts)], struct why *why)
{
    enum err err = ERR_OK;

    for (size_t i = 0; !err && i < ARRAY_LEN(counts); i++) {
        struct pg_result *r = NULL;

        err = pg_exec(s, counts[i].sql, NULL, &r, why);
        values[i] = pg_rows(r) ? pg_get_int(r, 0, 0) : 0;
        pg_result_free(r);
    }
    return err;
}

/* `again` NULL: no decision was made again. */
static bool report(const struct verify *v, const int64_t values[ARRAY_LEN(counts)],
                   const struct again_counts *again, double seconds, bool as_json)
{
    bool is_good = v->differing_vectors == 0 && v->unreadable == 0 && (!again || again_is_good(again));
    json_t *all = json_pack("{sI sI sI sI sI sf}", "entries", (json_int_t)v->entries, "compared",
                            (json_int_t)v->compared, "differing", (json_int_t)v->differing_vectors,
                            "differing_bytes", (json_int_t)v->differing_bytes, "unreadable",
                            (json_int_t)v->unreadable, "seconds", seconds);

    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        json_object_set_new(all, counts[i].name, json_integer(values[i]));
        is_good = is_good && (!counts[i].must_be_zero || values[i] == 0);
        if (!as_json)
            printf("%12" PRId64 "  %s%s\n", values[i], counts[i].meaning,
                   counts[i].must_be_zero && values[i] ? "   <-- must be 0" : "");
    }
    if (again)
        json_object_set_new(all, "replayed", again_json(again));
    json_object_set_new(all, "good", json_boolean(is_good));
    if (as_json) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        printf("%12" PRId64 "  entries of the log replayed in %.1f s\n", v->entries, seconds);
        printf("%12" PRId64 "  vectors compared\n%12" PRId64 "  differing vectors\n%12" PRId64
               "  differing bytes\n",
               v->compared, v->differing_vectors, v->differing_bytes);
        if (v->unreadable)
            printf("%12" PRId64 "  entries that cannot be read   <-- must be 0\n", v->unreadable);
        if (again)
            again_print(again);
        printf("%s\n", is_good ? "all is as it was answered" : "NOT as it was answered");
    }
    json_decref(all);
    return is_good;
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct verify_settings *c = settings;
    struct verify v = { 0 };
    struct pg_session *s = NULL;
    struct again_counts again = { 0 };
    struct why why = { 0 };
    int64_t values[ARRAY_LEN(counts)] = { 0 }, began = clock_mono_us();
    bool is_good = false;
    enum err err = database_open_migrated(&s, &why);

    (void)operands;
    (void)operand_count;
    if (c->decisions < 0)
        err = err_set(&why, ERR_INVALID, "--decisions takes 0 or more");
    if (!err) /* one moment for all that is read, whoever writes meanwhile */
        err = pg_exec_script(s, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", &why);
    if (!err)
        err = count_all(s, values, &why);
    if (!err && !c->without_log)
        err = open_lanes(&v, s, &why);
    if (!err && !c->without_log)
        err = replay(&v, s, &why);
    if (!err && c->decisions)
        err = again_run(&again, s, c->decisions, c->seed, &why);
    if (!err)
        is_good = report(&v, values, c->decisions ? &again : NULL,
                         (double)(clock_mono_us() - began) / SECOND_US, c->as_json);
    close_lanes(&v);
    pg_session_close(s);
    if (err)
        return command_fail(EXIT_FAILED, "verify: %s", why.text);
    return is_good ? EXIT_DONE : EXIT_FAILED;
}

const struct command cmd_verify = {
    .name = "verify",
    .operands = "",
    .purpose = "Compute every stored vector again from PostgreSQL alone, and compare",
    .text =
        "Replays the log through the same code that serves, under each plan that decisions were made with, "
        "and\n"
        "compares the bytes with what was stored beside each decision. Checks too that ids, log, labels and\n"
        "decisions agree. Needs no service; may run beside them. Status 1 when anything differs.\n\n"
        "With --decisions each of N random decisions is made again from its vector: score, contributions, "
        "rules,\n"
        "reasons and action, by the model and the rule set that made it and the lists as they were, and "
        "compared\n"
        "bit for bit. What differs is named field by field; `assay explain TRANSACTION` shows one.",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .settings_size = sizeof(struct verify_settings),
    .defaults = &defaults,
    .run = run,
};
