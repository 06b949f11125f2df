/* SPDX-License-Identifier: Apache-2.0 */
#include "registry.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "log/log.h"
#include "loop/loop.h"
#include "metrics/metrics.h"
#include "pg/pg.h"

enum { LOOK_EVERY_US = 1000000, ANSWER_WITHIN_US = 5000000, ALIAS_SIZE = 24 };

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
    int64_t version;
    struct model *model; /* of `version`, or of the one before until that is there; NULL: none yet */
};

/* A version that does not get better by trying again. */
struct refused {
    int64_t version;
    struct why why;
};

/* What the worker was asked for and came back with. */
struct job {
    int64_t version;
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
    struct model **models; /* loaded, each once */
    size_t model_count, model_cap;
    struct refused *refused;
    size_t refused_count, refused_cap;
    int64_t loading; /* the version under way; 0 = none */
    struct why trouble;

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
    char text[128];
    enum err err = pg_session_open(s, r->options.conninfo, "assay-scoring", why);

    if (!err && r->options.role) {
        snprintf(text, sizeof text, "SET ROLE \"%s\"", r->options.role);
        err = pg_exec_script(*s, text, why);
    }
    return err;
}

/* A connection for each job: they are rare, and it may have been lost since the last. */
static void work(struct registry *r, struct job *job)
{
    struct pg_session *s = NULL;

    job->err = worker_connect(r, &s, &job->why);
    if (!job->err)
        job->err = model_load(&job->model, s, job->version, &job->why);
    pg_session_close(s);
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

static void ask(struct registry *r, int64_t version)
{
    struct job *job = mem_new(struct job);

    job->version = r->loading = version;
    pthread_mutex_lock(&r->lock);
    job->next = r->asked;
    r->asked = job;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

/* ---- who serves ---- */

static struct model *find_loaded(const struct registry *r, int64_t version)
{
    for (size_t i = 0; i < r->model_count; i++)
        if (r->models[i]->version == version)
            return r->models[i];
    return NULL;
}

static const struct refused *find_refused(const struct registry *r, int64_t version)
{
    for (size_t i = 0; i < r->refused_count; i++)
        if (r->refused[i].version == version)
            return &r->refused[i];
    return NULL;
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
        } else if (own == NULL && r->loading == 0 && find_refused(r, p->version) == NULL) {
            ask(r, p->version);
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
        if (job->err != ERR_UNAVAILABLE && job->err != ERR_TIMEOUT && job->err != ERR_UNKNOWN) {
            ARRAY_RESERVE_ONE(r->refused, r->refused_count, r->refused_cap);
            r->refused[r->refused_count++] = (struct refused){ job->version, job->why };
        }
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

static const char aliases_sql[] =
    "SELECT name, alias, version FROM aliases ORDER BY updated_at DESC, name, alias";

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
        is_changed = r->loading == 0 && find_refused(r, places[i].version) == NULL &&
                     (places[i].model == NULL || places[i].model->version != places[i].version);
    if (is_changed)
        settle(r);
}

static void look(void *ctx);

static void on_aliases(void *ctx, const struct pg_reply *reply)
{
    struct registry *r = ctx;

    r->is_looking = false;
    if (reply->err == ERR_OK)
        take_places(r, reply->results[0]);
    else if (reply->err != ERR_UNAVAILABLE)
        log_event(LOG_WARN, "aliases_unread", "err=%s why=%s", err_name(reply->err),
                  log_quoted(slice_str(reply->why.text)));
    if (r->looks_again && reply->err == ERR_OK)
        look(r);
}

static void look(void *ctx)
{
    struct registry *r = ctx;

    loop_timer_set(&r->timer, LOOK_EVERY_US);
    r->looks_again = r->is_looking; /* what is under way may have missed the change */
    if (r->is_looking || !pg_pool_is_up(r->options.pool))
        return;
    r->is_looking = true;
    {
        struct pg_unit *unit = pg_unit_new(r->options.pool);

        pg_unit_add_sql(unit, aliases_sql);
        pg_unit_is_read(unit);
        pg_unit_send(unit, clock_mono_us() + ANSWER_WITHIN_US, on_aliases, r);
    }
}

void registry_hear(struct registry *r)
{
    look(r);
}

/* ---- the whole ---- */

enum err registry_open(struct registry **out, const struct registry_options *options, struct why *why)
{
    struct registry *r = mem_new(struct registry);

    *out = NULL;
    r->options = *options;
    r->metrics = metrics_add(options->metrics, metric_table, METRIC_COUNT);
    snprintf(r->name, sizeof r->name, "%s", options->name);
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

const char *registry_trouble(const struct registry *r)
{
    return r->trouble.text;
}
