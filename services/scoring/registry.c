/* SPDX-License-Identifier: Apache-2.0 */
#include "registry.h"

#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "log/log.h"
#include "loop/loop.h"
#include "metrics/metrics.h"
#include "modelstore/keys.h"
#include "pg/pg.h"

enum {
    LOOK_EVERY_US = 1000000,
    TELL_EVERY_US = 2000000, /* a process that was not heard of for ten seconds counts as gone */
    ANSWER_WITHIN_US = 5000000,
    ALIAS_SIZE = 24,
    PROCESS_SIZE = 320,
};

enum { METRIC_LOADS, METRIC_SWAPS, METRIC_VERSION, METRIC_COUNT };
static const struct metric metric_table[METRIC_COUNT] = {
    [METRIC_LOADS] = { "assay_scoring_loads_total",
                       METRIC_COUNTER,
                       "Models read and checked, by outcome",
                       { "outcome" } },
    [METRIC_SWAPS] = { "assay_scoring_swaps_total",
                       METRIC_COUNTER,
                       "Times an alias got another model",
                       { "alias" } },
    [METRIC_VERSION] = { "assay_scoring_model_version",
                         METRIC_GAUGE,
                         "Version that serves, by model and alias",
                         { "model", "alias" } },
};

/* One alias: what it points to, and what serves for it. */
struct place {
    char name[BUNDLE_NAME_MAX + 1], alias[ALIAS_SIZE];
    int64_t version, signature; /* a hash of it; 0: none */
    struct model *model;        /* of `version`, or of the one before until that is there; NULL: none yet */
};

/* A running experiment of stage ab. */
struct trial {
    char name[BUNDLE_NAME_MAX + 1];
    int64_t candidate, salt;
    double share;
};

/* A version that does not get better by trying again, unless somebody signs it, or others are trusted. */
struct refused {
    int64_t version, signature;
    uint64_t keys; /* model_keys_stamp() */
};

/* What the worker was asked for and came back with. */
struct job {
    int64_t version, signature;
    uint64_t keys; /* model_keys_stamp() before they were read */
    struct model *model;
    enum err err;
    struct why why;
    struct job *next;
};

struct registry {
    struct registry_options options;
    struct metric_set *metrics;
    struct loop_timer timer;
    bool is_looking, looks_again;
    char name[BUNDLE_NAME_MAX + 1];
    struct place *places;
    size_t place_count;
    struct trial *trials;
    size_t trial_count;
    struct model **models; /* loaded, each once */
    size_t model_count, model_cap;
    struct refused *refused;
    size_t refused_count, refused_cap;
    int64_t loading; /* the version under way; 0 = none */
    struct why trouble;
    char process[PROCESS_SIZE]; /* what this one is called in `serving` */
    bool is_telling, tells_again;
    int64_t told_mono_us;

    pthread_t worker;
    bool has_worker;
    /* Between the two threads, under the lock: */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *asked, *done;
    bool is_closing;
};

/* ---- the worker ---- */

static void collect(void *ctx);

static enum err worker_connect(struct registry *r, struct pg_session **s, struct why *why)
{
    enum err err = pg_session_open(s, r->options.conninfo, "assay-scoring", why);

    return err ? err : pg_session_role(*s, r->options.role, why);
}

/* A connection for each job: they are rare, and it may have been lost since the last. */
static void work(struct registry *r, struct job *job)
{
    const struct trusted_keys *keys;
    struct arena arena = { 0 };
    struct pg_session *s = NULL;

    job->err = model_keys_read(&keys, r->options.model_keys, &arena, &job->why);
    if (!job->err)
        job->err = worker_connect(r, &s, &job->why);
    if (!job->err)
        job->err = model_load(&job->model, s, job->version, keys, &job->why);
    pg_session_close(s);
    arena_release(&arena);
}

static void *worker_main(void *arg)
{
    struct registry *r = arg;

    pthread_mutex_lock(&r->lock);
    while (!r->is_closing) {
        struct job *job = r->asked;

        if (job == NULL) {
            pthread_cond_wait(&r->wake, &r->lock);
            continue;
        }
        r->asked = job->next;
        pthread_mutex_unlock(&r->lock);
        work(r, job);
        pthread_mutex_lock(&r->lock);
        job->next = r->done;
        r->done = job;
        loop_post(r->options.loop, collect, r);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void ask(struct registry *r, const struct place *p)
{
    struct job *job = mem_new(struct job);

    job->version = r->loading = p->version;
    job->signature = p->signature;
    job->keys = model_keys_stamp(r->options.model_keys);
    pthread_mutex_lock(&r->lock);
    job->next = r->asked;
    r->asked = job;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

/* ---- telling ---- */

static const char tell_sql[] =
    "WITH mine AS (SELECT * FROM unnest($2::text[], $3::text[], $4::int8[]) AS m (name, alias, version)), "
    "gone AS (DELETE FROM serving s WHERE (s.process = $1::text AND NOT EXISTS (SELECT FROM mine WHERE "
    "mine.name = s.name AND mine.alias = s.alias)) OR s.at < now() - interval '1 min') INSERT INTO serving "
    "(process, name, alias, version, at) SELECT $1::text, name, alias, version, now() FROM mine ON CONFLICT "
    "(process, name, alias) DO UPDATE SET version = excluded.version, at = excluded.at";

static void tell(struct registry *r);

static void on_told(void *ctx, const struct pg_reply *reply)
{
    struct registry *r = ctx;

    r->is_telling = false;
    if (reply->err && reply->err != ERR_UNAVAILABLE)
        log_event(LOG_WARN, "serving_untold", "err=%s why=%s", err_name(reply->err),
                  log_quoted(slice_str(reply->why.text)));
    if (r->tells_again && reply->err == ERR_OK)
        tell(r);
}

/* Writes what serves now: a promotion is in effect once every process has said so. */
static void tell(struct registry *r)
{
    struct pg_array *names, *aliases, *versions;
    struct pg_params *p;
    struct pg_unit *unit;

    r->tells_again = r->is_telling;
    if (r->is_telling || !pg_pool_is_up(r->options.pool))
        return;
    unit = pg_unit_new(r->options.pool);
    p = pg_unit_add_sql(unit, tell_sql);
    pg_add_text(p, slice_str(r->process));
    names = pg_add_array(p, PG_TEXT);
    aliases = pg_add_array(p, PG_TEXT);
    versions = pg_add_array(p, PG_INT8);
    for (size_t i = 0; i < r->place_count; i++) {
        if (r->places[i].model == NULL)
            continue;
        pg_array_text(names, slice_str(r->places[i].name));
        pg_array_text(aliases, slice_str(r->places[i].alias));
        pg_array_i64(versions, r->places[i].model->version);
    }
    r->is_telling = true;
    r->told_mono_us = clock_mono_us();
    pg_unit_send(unit, r->told_mono_us + ANSWER_WITHIN_US, on_told, r);
}

/* ---- who serves ---- */

static struct model *find_loaded(const struct registry *r, int64_t version)
{
    for (size_t i = 0; i < r->model_count; i++)
        if (r->models[i]->version == version)
            return r->models[i];
    return NULL;
}

static struct refused *find_refused(const struct registry *r, int64_t version)
{
    for (size_t i = 0; i < r->refused_count; i++)
        if (r->refused[i].version == version)
            return &r->refused[i];
    return NULL;
}

static bool is_refused(const struct registry *r, const struct place *p)
{
    const struct refused *refused = find_refused(r, p->version);

    return refused && refused->signature == p->signature &&
           refused->keys == model_keys_stamp(r->options.model_keys);
}

static void refuse(struct registry *r, const struct job *job)
{
    struct refused *refused = find_refused(r, job->version);

    if (!refused) {
        ARRAY_RESERVE_ONE(r->refused, r->refused_count, r->refused_cap);
        refused = &r->refused[r->refused_count++];
    }
    *refused = (struct refused){ job->version, job->signature, job->keys };
}

static void put_version(struct registry *r, const struct place *p, int64_t version)
{
    metric_put(r->metrics, METRIC_VERSION, metric_series(r->metrics, METRIC_VERSION, p->name, p->alias),
               (double)version);
}

/* Gives each place its own model where that is there, asks for the first that is not, and lets go of those
 * that nobody points to. */
static void settle(struct registry *r)
{
    size_t kept = 0;

    for (size_t i = 0; i < r->place_count; i++) {
        struct place *p = &r->places[i];
        struct model *own = find_loaded(r, p->version);

        if (own != NULL && own != p->model) {
            p->model = own;
            metric_inc(r->metrics, METRIC_SWAPS, metric_series(r->metrics, METRIC_SWAPS, p->alias, NULL));
            put_version(r, p, p->version);
            log_event(LOG_INFO, "model_serves", "name=%s alias=%s version=%" PRId64, p->name, p->alias,
                      p->version);
        } else if (own == NULL && r->loading == 0 && !is_refused(r, p)) {
            ask(r, p);
        }
    }
    for (size_t i = 0; i < r->model_count; i++) {
        bool is_used = false;

        for (size_t j = 0; j < r->place_count; j++)
            is_used |= r->places[j].model == r->models[i];
        if (is_used)
            r->models[kept++] = r->models[i];
        else
            model_free(r->models[i]);
    }
    r->model_count = kept;
    r->options.on_change(r->options.ctx);
    tell(r);
}

static void finish(struct registry *r, struct job *job)
{
    if (job->err == ERR_OK) {
        ARRAY_RESERVE_ONE(r->models, r->model_count, r->model_cap);
        r->models[r->model_count++] = job->model;
        r->trouble.text[0] = '\0';
    } else {
        r->trouble = job->why;
        log_event(LOG_ERROR, "model_refused", "version=%" PRId64 " err=%s why=%s", job->version,
                  err_name(job->err), log_quoted(slice_str(job->why.text)));
        /* What PostgreSQL could not give is asked for again at the next look; what is broken stays so. */
        if (job->err != ERR_UNAVAILABLE && job->err != ERR_TIMEOUT && job->err != ERR_UNKNOWN)
            refuse(r, job);
    }
    metric_inc(r->metrics, METRIC_LOADS, metric_series(r->metrics, METRIC_LOADS, err_name(job->err), NULL));
    mem_free(job);
}

static void collect(void *ctx)
{
    struct registry *r = ctx;
    struct job *done, *next;
    bool is_retry = false;

    pthread_mutex_lock(&r->lock);
    done = r->done;
    r->done = NULL;
    pthread_mutex_unlock(&r->lock);
    for (; done != NULL; done = next) {
        next = done->next;
        is_retry |= done->err == ERR_UNAVAILABLE || done->err == ERR_TIMEOUT || done->err == ERR_UNKNOWN;
        r->loading = 0;
        finish(r, done);
    }
    if (!is_retry)
        settle(r);
}

/* ---- looking ---- */

/* What is in the shadow is scored elsewhere. */
static const char aliases_sql[] =
    "SELECT a.name, a.alias, a.version, coalesce(hashtextextended(encode(m.signature, 'hex'), 0), 0) FROM "
    "aliases a JOIN models m USING (version) WHERE a.alias <> 'shadow' ORDER BY a.updated_at DESC, a.name, "
    "a.alias";
static const char trials_sql[] =
    "SELECT name, candidate, salt, share FROM experiments WHERE stage = 'ab' AND state = 'running'";

static struct place *find_place(const struct registry *r, const char *name, const char *alias)
{
    for (size_t i = 0; i < r->place_count; i++)
        if (strcmp(r->places[i].name, name) == 0 && strcmp(r->places[i].alias, alias) == 0)
            return &r->places[i];
    return NULL;
}

static void take_places(struct registry *r, const struct pg_result *rows)
{
    size_t count = pg_rows(rows);
    struct place *places = mem_new_n(struct place, count + 1);
    bool has_name = r->options.name[0] != '\0', is_changed = count != r->place_count;

    for (size_t i = 0; i < count; i++) {
        struct place *p = &places[i], *before;

        snprintf(p->name, sizeof p->name, "%.*s", SLICE_ARG(pg_get_text(rows, i, 0)));
        snprintf(p->alias, sizeof p->alias, "%.*s", SLICE_ARG(pg_get_text(rows, i, 1)));
        p->version = pg_get_int(rows, i, 2);
        p->signature = pg_get_int(rows, i, 3);
        before = find_place(r, p->name, p->alias);
        p->model = before ? before->model : NULL;
        is_changed |= before == NULL || before->version != p->version;
        if (!has_name && strcmp(p->alias, "champion") == 0) {
            snprintf(r->name, sizeof r->name, "%s", p->name);
            has_name = true;
        }
    }
    for (size_t i = 0; i < r->place_count; i++) {
        struct place *old = &r->places[i];
        bool is_kept = false;

        for (size_t j = 0; j < count; j++)
            is_kept |= strcmp(old->name, places[j].name) == 0 && strcmp(old->alias, places[j].alias) == 0;
        if (!is_kept)
            put_version(r, old, 0);
    }
    mem_free(r->places);
    r->places = places;
    r->place_count = count;
    for (size_t i = 0; i < count && !is_changed; i++)
        is_changed = r->loading == 0 && !is_refused(r, &places[i]) &&
                     (places[i].model == NULL || places[i].model->version != places[i].version);
    if (is_changed)
        settle(r);
}

static void take_trials(struct registry *r, const struct pg_result *rows)
{
    mem_free(r->trials);
    r->trial_count = pg_rows(rows);
    r->trials = mem_new_n(struct trial, r->trial_count + 1);
    for (size_t i = 0; i < r->trial_count; i++) {
        struct trial *t = &r->trials[i];

        snprintf(t->name, sizeof t->name, "%.*s", SLICE_ARG(pg_get_text(rows, i, 0)));
        t->candidate = pg_get_int(rows, i, 1);
        t->salt = pg_get_int(rows, i, 2);
        t->share = pg_get_float(rows, i, 3);
    }
}

static void look(void *ctx);

static void on_aliases(void *ctx, const struct pg_reply *reply)
{
    struct registry *r = ctx;

    r->is_looking = false;
    if (reply->err == ERR_OK) {
        take_trials(r, reply->results[1]);
        take_places(r, reply->results[0]);
    } else if (reply->err != ERR_UNAVAILABLE) {
        log_event(LOG_WARN, "aliases_unread", "err=%s why=%s", err_name(reply->err),
                  log_quoted(slice_str(reply->why.text)));
    }
    if (r->looks_again && reply->err == ERR_OK)
        look(r);
}

static void look(void *ctx)
{
    struct registry *r = ctx;

    loop_timer_set(&r->timer, LOOK_EVERY_US);
    if (clock_mono_us() - r->told_mono_us >= TELL_EVERY_US)
        tell(r);
    r->looks_again = r->is_looking; /* what is under way may have missed the change */
    if (r->is_looking || !pg_pool_is_up(r->options.pool))
        return;
    r->is_looking = true;
    {
        struct pg_unit *unit = pg_unit_new(r->options.pool);

        pg_unit_add_sql(unit, aliases_sql);
        pg_unit_add_sql(unit, trials_sql);
        pg_unit_is_read(unit);
        pg_unit_send(unit, clock_mono_us() + ANSWER_WITHIN_US, on_aliases, r);
    }
}

void registry_hear(struct registry *r)
{
    look(r);
}

/* ---- the whole ---- */

/* The machine and the process; the time tells it from one before it with the same number. */
static void name_process(char name[PROCESS_SIZE])
{
    char host[HOST_NAME_MAX + 1] = "";

    gethostname(host, sizeof host - 1);
    snprintf(name, PROCESS_SIZE, "scoring %s %d %" PRIx64, host, (int)getpid(), (uint64_t)clock_wall_us());
}

enum err registry_open(struct registry **out, const struct registry_options *options, struct why *why)
{
    struct registry *r = mem_new(struct registry);

    *out = NULL;
    r->options = *options;
    r->metrics = metrics_add(options->metrics, metric_table, METRIC_COUNT);
    snprintf(r->name, sizeof r->name, "%s", options->name);
    name_process(r->process);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->wake, NULL);
    loop_timer_init(&r->timer, options->loop, look, r);
    if (pthread_create(&r->worker, NULL, worker_main, r) != 0) {
        registry_close(r);
        return err_set(why, ERR_INTERNAL, "no thread for loading models");
    }
    r->has_worker = true;
    loop_timer_set(&r->timer, 0);
    *out = r;
    return ERR_OK;
}

static void free_jobs(struct job *job)
{
    while (job != NULL) {
        struct job *next = job->next;

        model_free(job->model);
        mem_free(job);
        job = next;
    }
}

void registry_close(struct registry *r)
{
    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    r->is_closing = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    if (r->has_worker)
        pthread_join(r->worker, NULL);
    free_jobs(r->asked);
    free_jobs(r->done);
    for (size_t i = 0; i < r->model_count; i++)
        model_free(r->models[i]);
    loop_timer_release(&r->timer);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    mem_free(r->models);
    mem_free(r->places);
    mem_free(r->trials);
    mem_free(r->refused);
    mem_free(r);
}

struct slice registry_name(const struct registry *r)
{
    return slice_str(r->name);
}

static bool is_named(const struct place *p, struct slice name)
{
    return slice_eq_str(name, p->name);
}

struct model *registry_find(const struct registry *r, struct slice name, const char *alias)
{
    for (size_t i = 0; i < r->place_count; i++)
        if (is_named(&r->places[i], name) && strcmp(r->places[i].alias, alias) == 0)
            return r->places[i].model;
    return NULL;
}

struct model *registry_version(const struct registry *r, struct slice name, struct slice version)
{
    for (size_t i = 0; i < r->place_count; i++)
        if (is_named(&r->places[i], name) && r->places[i].model &&
            slice_eq_str(version, r->places[i].model->version_text))
            return r->places[i].model;
    return NULL;
}

size_t registry_versions(const struct registry *r, struct slice name, struct model **out, size_t most)
{
    size_t count = 0;

    for (size_t i = 0; i < r->place_count; i++) {
        struct model *m = is_named(&r->places[i], name) ? r->places[i].model : NULL;
        size_t at = count;

        for (size_t j = 0; j < count; j++)
            if (out[j] == m)
                m = NULL; /* two aliases of one version */
        if (m == NULL || count == most)
            continue;
        for (; at > 0 && out[at - 1]->version < m->version; at--)
            out[at] = out[at - 1];
        out[at] = m;
        count++;
    }
    return count;
}

bool registry_trial(const struct registry *r, struct slice name, struct registry_trial *out)
{
    for (size_t i = 0; i < r->trial_count; i++) {
        const struct trial *t = &r->trials[i];
        struct model *m = registry_find(r, name, "challenger");

        if (!slice_eq_str(name, t->name))
            continue;
        *out = (struct registry_trial){ m, t->share, t->salt };
        return m != NULL && m->version == t->candidate;
    }
    return false;
}

const char *registry_trouble(const struct registry *r)
{
    return r->trouble.text;
}
