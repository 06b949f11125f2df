/* SPDX-License-Identifier: Apache-2.0 */
#include "training.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/must.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "candidate.h"
#include "json/json.h"
#include "lifestore/recipe.h"
#include "lifestore/row.h"
#include "lifestore/run.h"
#include "log/log.h"
#include "modelstore/keys.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "retrainer.h"
#include "velocity/velocity.h"

enum { TELL_EVERY_US = 500000 };

/* How much of the whole is over when the rows are read, and when the model is there. */
#define SHARE_READ    0.2
#define SHARE_TRAINED 0.9

static volatile sig_atomic_t is_told;

static void on_term(int signal_number)
{
    (void)signal_number;
    is_told = 1;
}

struct work {
    struct retrainer_settings conf;
    struct pg_session *pg;
    struct pg_session *teller; /* how far it is, while `pg` reads in one transaction that writes nothing */
    struct arena arena;
    struct run run;
    struct recipe recipe;
    struct plan *plan;
    struct rows rows;
    char digest[17]; /* of the plan and the rows */
    struct trainer_trial *trials;
    size_t trial_count;
    struct trainer trainer;
    struct stages stages;
    struct buf bundle;
    int64_t version;

    int64_t told_mono_us;
    bool is_cancelled, is_reading;
    enum err lost;       /* why nothing more can be written, */
    struct why lost_why; /* in words */
    struct why *why;
};

/* ---- telling and being told ---- */

/* False: stop. */
static bool tell(struct work *w, const char *stage, double progress, bool at_once)
{
    int64_t now = clock_mono_us();

    if (at_once || now - w->told_mono_us >= TELL_EVERY_US) {
        w->told_mono_us = now;
        w->lost = run_progress(w->teller, w->run.run, stage, progress, &w->is_cancelled, &w->lost_why);
    }
    return !w->lost && !w->is_cancelled && !is_told;
}

/* A hook said stop: why. */
static enum err stopped(const struct work *w)
{
    return w->lost ? err_set(w->why, w->lost, "%s", w->lost_why.text)
                   : err_set(w->why, ERR_TIMEOUT, "%s", w->is_cancelled ? "cancelled" : "told to stop");
}

static enum err enter(struct work *w, const char *stage, double progress)
{
    return tell(w, stage, progress, true) ? ERR_OK : stopped(w);
}

/* ---- the checkpoint: {"digest": of plan and rows, "trials": [...]} or {"version": n} ---- */

static enum err keep(struct work *w)
{
    struct buf text;
    enum err err;

    buf_init(&text, 0);
    if (w->version) {
        buf_printf(&text, "{\"version\":%" PRId64 "}", w->version);
    } else {
        buf_printf(&text, "{\"digest\":\"%s\",\"trials\":", w->digest);
        trainer_trials_write(&text, w->trials, w->trial_count);
        buf_add_char(&text, '}');
    }
    err = run_keep(w->pg, w->run.run, buf_slice(&text), w->why);
    buf_release(&text);
    return err;
}

static void read_checkpoint_version(struct work *w)
{
    json_t *tree = json_loads(w->run.checkpoint.ptr, 0, NULL);

    w->version = json_integer_value(json_object_get(tree, "version"));
    json_decref(tree);
}

/* What was found of the very same rows before. */
static void read_checkpoint_trials(struct work *w)
{
    json_t *tree = json_loads(w->run.checkpoint.ptr, 0, NULL);
    const char *digest = json_string_value(json_object_get(tree, "digest"));
    char *text = json_dumps(json_object_get(tree, "trials"), JSON_COMPACT);
    struct why ignored;

    if (digest && strcmp(digest, w->digest) != 0)
        log_event(LOG_WARN, "checkpoint_void", "run=%" PRId64 " why=\"the rows are others\"", w->run.run);
    else if (digest && text &&
             trainer_trials_read(&w->trials, &w->trial_count, slice_str(text), &ignored) == ERR_OK)
        log_event(LOG_INFO, "taken_up", "run=%" PRId64 " trials=%zu", w->run.run, w->trial_count);
    free(text);
    json_decref(tree);
}

/* ---- what to learn from ---- */

static enum err plan_of_catalogue(struct work *w)
{
    struct catalogue catalogue;
    enum err err = catalogue_parse(&catalogue, w->recipe.catalogue, &w->arena, w->why);

    return err ? err : plan_build(&w->plan, &catalogue, w->why);
}

static enum err plan_of_version(struct work *w, int64_t version)
{
    struct bundle *bundle = NULL;
    struct buf bytes;
    enum err err;

    buf_init(&bytes, BUNDLE_BYTES_MAX);
    err = model_read(w->pg, version, NULL, &bytes, w->why);
    if (!err)
        err = bundle_open(&bundle, buf_slice(&bytes), w->why);
    if (!err)
        err = plan_parse(&w->plan, plan_text(bundle_plan(bundle)), w->why);
    bundle_close(bundle);
    buf_release(&bytes);
    return err;
}

/* What is served for rules alone is no model's: the rules that ask for it may go, and its columns with them. */
static enum err leave_out_velocities(struct work *w)
{
    size_t columns = plan_columns(w->plan), count = 0;
    struct slice *names = arena_new(&w->arena, struct slice, columns + 1);
    struct plan *all = w->plan;
    enum err err;

    for (size_t i = 0; i < columns; i++) {
        const struct feature *f = plan_column(all, i);

        /* Of two definitions of a name the first is meant by it. */
        if (!velocity_is_column(f) && plan_find_name(all, f->name) == i)
            names[count++] = f->name;
    }
    if (count == columns)
        return ERR_OK;
    w->plan = NULL;
    err = plan_select(&w->plan, all, names, count, w->why);
    plan_free(all);
    return err;
}

static enum err plan_served(struct work *w)
{
    struct pg_result *r = NULL;
    enum err err =
        row_ask(w->pg, "SELECT definition FROM plans ORDER BY created_at DESC LIMIT 1", NULL, &r, w->why);

    if (!err && pg_rows(r) == 0)
        err = err_set(w->why, ERR_INVALID,
                      "%.*s has no champion, no features are served, and the settings have no catalogue",
                      SLICE_ARG(w->run.name));
    if (!err)
        err = plan_parse(&w->plan, pg_get_text(r, 0, 0), w->why);
    pg_result_free(r);
    return err ? err : leave_out_velocities(w);
}

static enum err choose_plan(struct work *w)
{
    int64_t champion = MODEL_NONE;
    enum err err;

    if (w->recipe.catalogue.len)
        return plan_of_catalogue(w);
    err = model_find_alias(w->pg, w->run.name, "champion", &champion, w->why);
    if (err)
        return err;
    err = champion != MODEL_NONE ? plan_of_version(w, champion) : plan_served(w);
    if (!err && plan_columns(w->plan) == 0)
        err = err_set(w->why, ERR_INVALID, "no features are served, and the settings have no catalogue");
    return err;
}

static bool on_rows(void *context, uint64_t rows)
{
    struct work *w = context;
    bool is_first = !w->is_reading;

    (void)rows;
    w->is_reading = true;
    return tell(w, "reading", SHARE_READ / 2, is_first);
}

static bool on_again(void *context, uint64_t entries)
{
    struct work *w = context;

    (void)entries;
    return tell(w, "gates", SHARE_TRAINED, false);
}

static void digest_rows(struct work *w)
{
    struct hash_key key = { "assay rows read" };
    const struct rows *r = &w->rows;
    uint64_t sum = hash64(&key, slice_of(plan_hash(w->plan), SHA256_BYTES));

    sum ^= hash64(&key, slice_of(r->x, r->count * r->columns * sizeof *r->x));
    for (size_t i = 0; i < r->count; i++) {
        const struct row *row = &r->row[i];
        const int64_t told[] = { row->at_us, row->known_at_us, row->amount_minor, (int64_t)row->n,
                                 (int64_t)row->customer };

        sum = sum * 31 + hash64(&key, slice_of(told, sizeof told));
    }
    for (size_t i = 0; i < r->label_count; i++) {
        const struct row_label *label = &r->labels[i];
        const int64_t told[] = { label->labelled_at_us, label->known_at_us, label->source, label->is_fraud };

        sum = sum * 31 + hash64(&key, slice_of(told, sizeof told));
    }
    snprintf(w->digest, sizeof w->digest, "%016" PRIx64, sum);
}

static enum err read_rows(struct work *w)
{
    struct trainingstore_query query = w->recipe.query;
    struct trainingstore_counts counts;
    enum err err = enter(w, "reading", 0);

    if (err)
        return err;
    query.as_of_us = w->run.as_of_us;
    query.hook = on_rows;
    query.context = w;
    rows_init(&w->rows, w->plan);
    err = trainingstore_read(w->pg, &query, w->plan, &w->rows, &counts, w->why);
    if (err == ERR_TIMEOUT)
        return stopped(w);
    if (err)
        return err;
    log_event(
        LOG_INFO, "training_set",
        "run=%" PRId64 " rows=%zu served=%" PRIu64 " recomputed=%" PRIu64 " labels=%zu unreadable=%" PRIu64,
        w->run.run, w->rows.count, counts.served, counts.recomputed, w->rows.label_count, counts.unreadable);
    digest_rows(w);
    return ERR_OK;
}

/* ---- the model ---- */

static bool on_progress(void *context, const struct trainer_progress *p)
{
    struct work *w = context;

    if (p->finished) {
        w->trials = mem_grow(w->trials, w->trial_count + 1, sizeof *w->trials);
        w->trials[w->trial_count++] = *p->finished;
        w->lost = keep(w);
        log_event(LOG_INFO, "trial", "run=%" PRId64 " trial=%u trees=%u average_precision=%.4f", w->run.run,
                  p->finished->number, p->finished->trees, p->finished->average_precision);
    }
    return !w->lost && tell(w, trainer_stage_name(p->stage),
                            SHARE_READ + (SHARE_TRAINED - SHARE_READ) * p->share, p->finished != NULL);
}

static enum err train(struct work *w)
{
    struct trainer_trial *done = NULL;
    struct trainer_result result;
    enum err err;

    read_checkpoint_trials(w);
    /* The hook adds to the list, and so moves it. */
    done = mem_new_n(struct trainer_trial, w->trial_count + 1);
    if (w->trial_count)
        memcpy(done, w->trials, w->trial_count * sizeof *done);
    w->trainer.search.done = done;
    w->trainer.search.done_count = w->trial_count;
    err = trainer_run(&w->trainer, &w->rows, w->plan, &w->bundle, &result, w->why);
    w->trainer.search.done = NULL;
    w->trainer.search.done_count = 0;
    mem_free(done);
    if (err == ERR_TIMEOUT)
        return stopped(w);
    return err;
}

static enum err register_model(struct work *w)
{
    struct slice bytes = buf_slice(&w->bundle);
    unsigned char digest[SHA256_BYTES];
    struct bundle_signature signature;
    struct signing_key key;
    bool is_signed = *w->conf.model_key != '\0';
    enum err err = enter(w, "registering", SHARE_TRAINED);

    if (!err && is_signed)
        err = signing_key_read(&key, w->conf.model_key, w->why);
    if (!err && is_signed) {
        sha256(bytes, digest);
        bundle_sign(&signature, digest, &key);
        signing_key_wipe(&key);
    }
    if (!err)
        err = model_register(w->pg, bytes, is_signed ? &signature : NULL, NULL, SLICE("retrainer"),
                             &w->version, NULL, w->why);
    return err ? err : keep(w);
}

static enum err prepare(struct work *w)
{
    enum err err = recipe_read(&w->recipe, w->run.settings, &w->arena, w->why);

    if (err)
        return err;
    w->trainer = w->recipe.trainer;
    w->trainer.name = w->run.name;
    w->trainer.created_at_us = w->trainer.until_us = w->run.as_of_us;
    w->trainer.params.threads = (int)w->conf.threads;
    w->trainer.hook = on_progress;
    w->trainer.context = w;
    err = choose_plan(w);
    return err ? err : read_rows(w);
}

static enum err hold_to_gates(struct work *w)
{
    const struct trainingstore_query query = {
        .account = w->recipe.query.account, .as_of_us = w->run.as_of_us, .hook = on_again, .context = w
    };
    const struct gating gating = { .stages = &w->stages,
                                   .version = w->version,
                                   .now_us = w->run.as_of_us,
                                   .plan = w->plan,
                                   .rows = &w->rows,
                                   .trainer = &w->trainer,
                                   .query = &query };
    enum err err = enter(w, "gates", SHARE_TRAINED);

    if (!err)
        err = candidate_gate(w->pg, &gating, w->why);
    return err == ERR_TIMEOUT ? stopped(w) : err;
}

static enum err make_model(struct work *w)
{
    enum err err = prepare(w);

    if (!err && !w->version)
        err = train(w);
    if (!err && !w->version)
        err = register_model(w);
    return err ? err : hold_to_gates(w);
}

/* ---- the run ---- */

/* The connection, not the run, has failed: somebody takes it up again. */
static bool is_passing(enum err err)
{
    return err == ERR_UNAVAILABLE || err == ERR_UNKNOWN;
}

static int finish(struct work *w, enum err err)
{
    struct why trouble = { 0 };
    enum err told = ERR_OK;
    int status = EXIT_SUCCESS;

    if (is_passing(err))
        return EXIT_FAILURE;
    if (err == ERR_TIMEOUT && !w->is_cancelled && is_told) {
        /* Either may be why it was told: whoever cancels also says so in the row. */
        told = run_progress(w->pg, w->run.run, "stopped", 0, &w->is_cancelled, &trouble);
        if (!told && !w->is_cancelled) {
            told = run_leave(w->pg, w->run.run, &trouble);
            status = TRAINING_STOPPED;
        }
    }
    if (!told && err == ERR_TIMEOUT && w->is_cancelled)
        told = run_end(w->pg, w->run.run, RUN_CANCELLED, 0, SLICE("cancelled while it ran"), &trouble);
    else if (!told && status == EXIT_SUCCESS)
        told = run_end(w->pg, w->run.run, err ? RUN_FAILED : RUN_SUCCEEDED, w->version,
                       slice_str(w->why->text), &trouble);
    if (told) {
        log_event(LOG_ERROR, "end_not_told", "run=%" PRId64 " why=%s", w->run.run,
                  log_quoted(slice_str(trouble.text)));
        return EXIT_FAILURE;
    }
    return status;
}

static int work(struct work *w)
{
    enum err err;

    read_checkpoint_version(w);
    err = make_model(w);
    if (err)
        log_event(is_told ? LOG_INFO : LOG_ERROR, "run_not_done", "run=%" PRId64 " err=%s why=%s", w->run.run,
                  err_name(err), log_quoted(slice_str(w->why->text)));
    return finish(w, err);
}

/* Takes the lock and the run. */
static enum err begin(struct work *w, int64_t run, int *status)
{
    bool is_ours = false;
    int64_t now_us;
    enum err err = pg_session_open(&w->pg, w->conf.pg_url, "assay-retrainer-run", w->why);

    if (!err)
        err = pg_session_role(w->pg, w->conf.pg_role, w->why);
    if (!err)
        err = pg_session_open(&w->teller, w->conf.pg_url, "assay-retrainer-run", w->why);
    if (!err)
        err = pg_session_role(w->teller, w->conf.pg_role, w->why);
    if (!err)
        err = run_lock(w->pg, &is_ours, w->why);
    if (err || !is_ours) {
        *status = err ? EXIT_FAILURE : TRAINING_BUSY;
        return err;
    }
    err = retrainer_now(&w->conf, w->pg, &now_us, w->why);
    if (!err)
        err = run_begin(w->pg, run, w->conf.attempts, now_us, &is_ours, w->why);
    *status = err ? EXIT_FAILURE : is_ours ? -1 : EXIT_SUCCESS;
    if (err == ERR_CONFLICT || err == ERR_NOT_FOUND) { /* another was faster */
        *status = TRAINING_BUSY;
        return ERR_OK;
    }
    return err || !is_ours ? err : run_read(w->pg, run, &w->run, &w->arena, w->why);
}

int training_main(int64_t run)
{
    struct why why = { 0 };
    struct work w = { .why = &why };
    int status = EXIT_FAILURE;
    enum err err;

    signal(SIGTERM, on_term);
    signal(SIGPIPE, SIG_IGN);
    log_open("retrainer", LOG_INFO);
    must(conf_load(&w.conf, retrainer_fields, retrainer_field_count, &why), "read settings", &why);
    must(retrainer_check(&w.conf, &why), "read settings", &why);
    must(stages_read(&w.stages, w.conf.stages, &why), "read settings", &why);
    buf_init(&w.bundle, BUNDLE_BYTES_MAX);
    err = begin(&w, run, &status);
    if (err)
        log_event(LOG_ERROR, "run_not_begun", "run=%" PRId64 " err=%s why=%s", run, err_name(err),
                  log_quoted(slice_str(why.text)));
    else if (status < 0)
        status = work(&w);
    pg_session_close(w.teller);
    pg_session_close(w.pg);
    rows_release(&w.rows);
    plan_free(w.plan);
    buf_release(&w.bundle);
    mem_free(w.trials);
    arena_release(&w.arena);
    return status;
}
