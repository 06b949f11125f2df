/* SPDX-License-Identifier: Apache-2.0 */
#include "alerts.h"

#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>

#include "alerts/event.h"
#include "alertstore/alert_row.h"
#include "alertstore/outbox.h"
#include "alertstore/turn.h"
#include "app/watch.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "deliver/address.h"
#include "deliver/deliver.h"
#include "errand.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "monitorstore/condition.h"
#include "pg/session.h"
#include "upkeep.h"

enum {
    MANAGERS_MAX = 8,
    SENDING_MOST = DELIVER_MOST - MANAGERS_MAX,
    CONDITIONS_MOST = 1000,
    LIVES = 4, /* an alert is over for an Alertmanager that was not told so often in a row */
};
#define PRUNE_US        HOUR_US
#define UPKEEP_US       (10 * SECOND_US)
#define MANAGER_REST_US (5 * SECOND_US) /* after a failure */
#define TELLS_END_FOR_US                                                                                     \
    (15 * MINUTE_US) /* how long Alertmanagers hear of what was resolved, as from Prometheus */

enum { M_FIRING, M_PENDING, M_QUEUE, M_QUEUE_AGE, M_COUNT };
static const struct metric table[M_COUNT] = {
    [M_FIRING] = { "assay_monitor_alerts_firing",
                   METRIC_GAUGE,
                   "Alerts that fire, by severity",
                   { "severity" } },
    [M_PENDING] = { "assay_monitor_alerts_pending", METRIC_GAUGE, "Alerts that do not fire yet", { 0 } },
    [M_QUEUE] = { "assay_monitor_notifications_waiting",
                  METRIC_GAUGE,
                  "Messages on their way to webhooks",
                  { 0 } },
    [M_QUEUE_AGE] = { "assay_monitor_notifications_age_seconds",
                      METRIC_GAUGE,
                      "How long the oldest message has been on its way",
                      { 0 } },
};

static const struct alert_inhibition inhibitions[] = {
    { "Labels", "Quality", "lane" }, /* while no labels come, nothing can be said of it */
    { "Silent", "Labels", "lane" },
};

struct manager {
    char *url; /* with the path */
    int64_t next_us;
    bool is_busy;
};

struct alerts {
    struct watch *watch;
    struct courier *courier;
    const struct alerts_settings *conf;
    struct alerts_rules rules;
    struct alert_times times;
    struct webhook_waits waits;
    struct metric_set *set;
    size_t firing_series[ALERT_SEVERITY_COUNT];
    /* The thread's: */
    struct manager managers[MANAGERS_MAX];
    size_t manager_count;
    int64_t busy[SENDING_MOST]; /* webhooks that one is under way to */
    size_t busy_count;
    int64_t pruned_us, kept_up_us; /* when that was last done */
    struct errand *back;           /* not written down yet */
    /* For the metrics, under the lock: */
    pthread_mutex_t lock;
    struct turn_result figures;
    struct outbox_state outbox;
};

/* ---- what the monitor found ---- */

/* "late-labels" is LateLabels. */
static struct slice alert_name(struct slice kind, struct arena *arena)
{
    char *name = arena_strndup(arena, kind.ptr, kind.len);
    size_t len = 0;
    bool is_first = true;

    for (size_t i = 0; i < kind.len; i++) {
        char c = kind.ptr[i];

        if (c == '-' || c == '_' || c == ' ') {
            is_first = true;
            continue;
        }
        name[len++] = is_first && c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
        is_first = false;
    }
    return slice_of(name, len);
}

static struct slice cut_value(struct slice text)
{
    size_t len = text.len < ALERT_VALUE_MAX ? text.len : ALERT_VALUE_MAX;

    while (len < text.len && len > 0 && ((unsigned char)text.ptr[len] & 0xC0) == 0x80)
        len--;
    return slice_of(text.ptr, len);
}

static enum err read_condition(struct alert_condition *out, const struct condition *c, struct arena *arena,
                               struct why *why)
{
    const struct alert_label labels[] = {
        { SLICE("alertname"), alert_name(c->kind, arena) },
        { SLICE("condition"), cut_value(c->id) },
        { SLICE("kind"), cut_value(c->kind) },
        { SLICE("lane"), arena_printf(arena, "%d", (int)c->lane) },
        { SLICE("service"), SLICE("assay") },
        { SLICE("subject"), cut_value(c->subject) },
    };
    enum err err = ERR_OK;

    *out = (struct alert_condition){
        .is_true = c->is_raised, .text = c->text, .value = c->value, .threshold = c->threshold
    };
    for (size_t i = 0; i < ARRAY_LEN(labels) && !err; i++)
        err = alert_labels_add(&out->labels, labels[i].name, labels[i].value, why);
    if (!alert_severity_find(slice_str(severity_name(c->severity)), &out->severity))
        out->severity = ALERT_WARNING;
    return err;
}

static enum err look(struct alerts *a, struct pg_session *s, int64_t now_us, struct turn_result *result,
                     struct arena *arena, struct why *why)
{
    struct turn turn = { .inhibitions = inhibitions,
                         .inhibition_count = ARRAY_LEN(inhibitions),
                         .times = a->times,
                         .source = slice_str(a->rules.source),
                         .now_us = now_us };
    struct alert_condition *conditions;
    struct condition *found;
    size_t count;
    enum err err = condition_list(s, 0, true, CONDITIONS_MOST, &found, &count, arena, why);

    if (err)
        return err;
    conditions = arena_new(arena, struct alert_condition, count + 1);
    for (size_t i = 0; i < count && !err; i++)
        err = read_condition(&conditions[i], &found[i], arena, why);
    turn.conditions = conditions;
    turn.condition_count = count;
    if (!err)
        err = turn_take(s, &turn, result, why);
    if (!err && result->changes)
        log_event(LOG_INFO, "alerts_changed",
                  "changes=%zu critical=%zu warning=%zu info=%zu notices=%zu messages=%zu", result->changes,
                  result->firing[ALERT_CRITICAL], result->firing[ALERT_WARNING], result->firing[ALERT_INFO],
                  result->notices, result->messages);
    return err;
}

/* ---- webhooks ---- */

static void forget_busy(struct alerts *a, int64_t webhook)
{
    for (size_t i = 0; i < a->busy_count; i++)
        if (a->busy[i] == webhook) {
            a->busy[i] = a->busy[--a->busy_count];
            return;
        }
}

static double draw(void)
{
    return (double)randombytes_random() / (double)UINT32_MAX;
}

static struct outbox_result result_of(const struct alerts *a, const struct errand *e, int64_t now_us)
{
    struct outbox_result result = { .delivery = e->delivery,
                                    .end = OUTBOX_AGAIN,
                                    .status = e->status,
                                    .trouble = e->trouble.text,
                                    .now_us = now_us };
    int64_t wait_us = webhook_wait_us(&a->waits, e->failed + 1, draw());

    if (e->status >= 200 && e->status < 300)
        result.end = OUTBOX_DELIVERED;
    else if (e->status == 410)
        result.end = OUTBOX_GONE;
    else if (e->is_test || wait_us < 0)
        result.end = OUTBOX_FAILED;
    if (wait_us < e->retry_after_s * SECOND_US)
        wait_us = e->retry_after_s * SECOND_US;
    result.next_us = now_us + wait_us;
    return result;
}

static enum err write_down(struct alerts *a, struct pg_session *s, const struct errand *e, int64_t now_us,
                           struct why *why)
{
    struct outbox_result result = result_of(a, e, now_us);

    if (result.end != OUTBOX_DELIVERED)
        log_event(LOG_WARN, "webhook_failed",
                  "delivery=%" PRId64 " webhook=%" PRId64 " attempt=%" PRId64 " status=%d again=%s why=%s",
                  e->delivery, e->webhook, e->failed + 1, e->status,
                  result.end == OUTBOX_AGAIN ? "yes" : "no", log_quoted(slice_str(e->trouble.text)));
    return outbox_end(s, &result, why);
}

static void send_webhook(struct alerts *a, const struct outgoing *o, int64_t now_us)
{
    struct errand *e = mem_new(struct errand);
    struct buf signature;

    buf_init(&signature, 0);
    webhook_sign(o->secrets, o->secret_count, o->event, now_us / SECOND_US, o->body, &signature);
    e->kind = ERRAND_WEBHOOK;
    e->delivery = o->delivery;
    e->webhook = o->webhook;
    e->failed = o->failed;
    e->is_test = o->is_test;
    e->allow_http = a->rules.allow_http;
    e->allow_private = a->rules.allow_private;
    e->url = arena_slice(&e->arena, o->url).ptr;
    e->body = arena_slice(&e->arena, o->body);
    e->headers[e->header_count++] = "content-type: " EVENT_MEDIA_TYPE;
    e->headers[e->header_count++] = arena_printf(&e->arena, "webhook-id: %.*s", SLICE_ARG(o->event)).ptr;
    e->headers[e->header_count++] =
        arena_printf(&e->arena, "webhook-timestamp: %" PRId64, now_us / SECOND_US).ptr;
    e->headers[e->header_count++] = arena_printf(&e->arena, "webhook-signature: %s", buf_str(&signature)).ptr;
    a->busy[a->busy_count++] = o->webhook;
    buf_release(&signature);
    courier_send(a->courier, e);
}

/* A message that cannot be signed waits as one that could not be sent. */
static enum err fail_unsigned(struct alerts *a, struct pg_session *s, const struct outgoing *o,
                              int64_t now_us, struct why *why)
{
    struct errand e = { .delivery = o->delivery,
                        .webhook = o->webhook,
                        .failed = o->failed,
                        .is_test = o->is_test,
                        .trouble = o->trouble };

    return write_down(a, s, &e, now_us, why);
}

static enum err send_due(struct alerts *a, struct pg_session *s, int64_t now_us, struct arena *arena,
                         struct why *why)
{
    struct outgoing *due;
    size_t count;
    enum err err = outbox_next(s, &a->rules.key, a->busy, a->busy_count, now_us, SENDING_MOST - a->busy_count,
                               &due, &count, arena, why);

    for (size_t i = 0; i < count && !err; i++) {
        if (due[i].secret_count)
            send_webhook(a, &due[i], now_us);
        else
            err = fail_unsigned(a, s, &due[i], now_us, why);
        sodium_memzero(due[i].secrets, sizeof due[i].secrets);
    }
    return err;
}

/* ---- Alertmanagers ---- */

static void send_manager(struct alerts *a, size_t which, struct slice body)
{
    struct errand *e = mem_new(struct errand);

    e->kind = ERRAND_ALERTMANAGER;
    e->manager = which;
    e->allow_http = true; /* their URLs are the operator's */
    e->allow_private = true;
    e->url = a->managers[which].url;
    e->headers[e->header_count++] = "content-type: application/json";
    e->body = arena_slice(&e->arena, body);
    a->managers[which].is_busy = true;
    courier_send(a->courier, e);
}

static void manager_back(struct alerts *a, const struct errand *e, int64_t now_us)
{
    struct manager *m = &a->managers[e->manager];

    m->is_busy = false;
    if (e->status >= 200 && e->status < 300)
        return;
    m->next_us = now_us + MANAGER_REST_US;
    log_event(LOG_WARN, "alertmanager_failed", "url=%s why=%s", log_quoted(slice_str(m->url)),
              log_quoted(slice_str(e->trouble.text)));
}

static bool is_any_due(const struct alerts *a, int64_t now_us)
{
    for (size_t i = 0; i < a->manager_count; i++)
        if (!a->managers[i].is_busy && a->managers[i].next_us <= now_us)
            return true;
    return false;
}

static enum err tell_managers(struct alerts *a, struct pg_session *s, int64_t now_us, struct arena *arena,
                              struct why *why)
{
    int64_t every_us = a->conf->alertmanager_ms * MS_US;
    struct alert *current, **list;
    struct buf body;
    size_t count;
    enum err err;

    if (!is_any_due(a, now_us))
        return ERR_OK;
    err = alert_row_current(s, now_us - TELLS_END_FOR_US, &current, &count, arena, why);
    if (err)
        return err;
    buf_init(&body, 0);
    list = arena_new(arena, struct alert *, count + 1);
    for (size_t i = 0; i < count; i++)
        list[i] = &current[i];
    event_write_alertmanager(&body, list, count, now_us + LIVES * every_us, slice_str(a->conf->link));
    for (size_t i = 0; i < a->manager_count; i++) {
        struct manager *m = &a->managers[i];

        if (m->is_busy || m->next_us > now_us)
            continue;
        m->next_us = now_us + every_us;
        if (count)
            send_manager(a, i, buf_slice(&body));
    }
    buf_release(&body);
    return ERR_OK;
}

/* ---- a turn ---- */

/* Those that cannot be written down now are kept for the next connection. */
static enum err take_back(struct alerts *a, struct pg_session *s, int64_t now_us, struct why *why)
{
    struct errand **end = &a->back, *e;
    enum err err = ERR_OK;

    while (*end)
        end = &(*end)->next;
    *end = courier_collect(a->courier);
    while (!err && (e = a->back) != NULL) {
        if (e->kind == ERRAND_WEBHOOK)
            err = write_down(a, s, e, now_us, why);
        if (err)
            break;
        if (e->kind == ERRAND_WEBHOOK)
            forget_busy(a, e->webhook);
        else
            manager_back(a, e, now_us);
        a->back = e->next;
        errand_free(e);
    }
    return err;
}

static enum err prune(struct alerts *a, struct pg_session *s, int64_t now_us, struct why *why)
{
    enum err err;

    if (now_us - a->pruned_us < PRUNE_US && now_us >= a->pruned_us)
        return ERR_OK;
    err = outbox_prune(s, now_us - a->conf->keep_days * DAY_US, why);
    if (!err)
        a->pruned_us = now_us;
    return err;
}

static enum err look_after(struct alerts *a, struct pg_session *s, int64_t now_us, struct why *why)
{
    enum err err;

    if (now_us - a->kept_up_us < UPKEEP_US && now_us >= a->kept_up_us)
        return ERR_OK;
    err = upkeep_look(s, why);
    if (!err)
        a->kept_up_us = now_us;
    return err;
}

static void keep_figures(struct alerts *a, const struct turn_result *figures,
                         const struct outbox_state *outbox)
{
    pthread_mutex_lock(&a->lock);
    a->figures = *figures;
    a->outbox = *outbox;
    pthread_mutex_unlock(&a->lock);
}

static enum err work(struct alerts *a, struct pg_session *s, struct arena *arena, struct why *why)
{
    struct turn_result result = { 0 };
    struct outbox_state outbox = { .oldest_us = INT64_MAX };
    int64_t now_us = clock_wall_us();
    enum err err = take_back(a, s, now_us, why);

    if (!err)
        err = look_after(a, s, now_us, why);
    if (!err)
        err = look(a, s, now_us, &result, arena, why);
    for (size_t i = 0; i < a->manager_count && result.changes; i++)
        a->managers[i].next_us = now_us; /* news do not wait */
    if (!err)
        err = send_due(a, s, now_us, arena, why);
    if (!err)
        err = tell_managers(a, s, now_us, arena, why);
    if (!err)
        err = outbox_state(s, &outbox, why);
    if (!err)
        err = prune(a, s, now_us, why);
    keep_figures(a, &result, &outbox);
    return err;
}

static enum err turn(void *ctx, struct pg_session *s, int64_t *rest_us, const atomic_bool *is_ending,
                     struct why *why)
{
    struct alerts *a = ctx;
    struct arena arena = { 0 };
    bool has_lock = false;
    enum err err;

    (void)is_ending;
    *rest_us = a->conf->turn_ms * MS_US;
    if (!s)
        return ERR_OK;
    err = turn_lock(s, &has_lock, why);
    if (!err && has_lock)
        err = work(a, s, &arena, why);
    else
        keep_figures(a, &(struct turn_result){ 0 }, &(struct outbox_state){ .oldest_us = INT64_MAX });
    arena_release(&arena);
    return err;
}

/* ---- metrics ---- */

static void collect(void *ctx)
{
    struct alerts *a = ctx;
    struct turn_result figures;
    struct outbox_state outbox;
    int64_t age_us;

    pthread_mutex_lock(&a->lock);
    figures = a->figures;
    outbox = a->outbox;
    pthread_mutex_unlock(&a->lock);
    for (size_t i = 0; i < ALERT_SEVERITY_COUNT; i++)
        metric_put(a->set, M_FIRING, a->firing_series[i], (double)figures.firing[i]);
    metric_put(a->set, M_PENDING, 0, (double)figures.pending);
    metric_put(a->set, M_QUEUE, 0, (double)outbox.waiting);
    age_us = outbox.oldest_us == INT64_MAX ? 0 : clock_wall_us() - outbox.oldest_us;
    metric_put(a->set, M_QUEUE_AGE, 0, age_us > 0 ? (double)age_us / SECOND_US : 0);
}

/* ---- opening ---- */

static void wake(void *ctx)
{
    alerts_wake(ctx);
}

static enum err add_manager(struct alerts *a, struct slice base, struct why *why)
{
    struct arena arena = { 0 };
    const char *url;
    enum err err;

    while (base.len && base.ptr[base.len - 1] == '/')
        base.len--;
    if (a->manager_count == MANAGERS_MAX)
        return err_set(why, ERR_INVALID, "ASSAY_ALERTMANAGERS has more than %d URLs", MANAGERS_MAX);
    url = arena_printf(&arena, "%.*s/api/v2/alerts", SLICE_ARG(base)).ptr;
    err = address_check_url(url, true, true, why);
    if (err)
        err = err_wrap(why, err, "ASSAY_ALERTMANAGERS");
    else
        a->managers[a->manager_count++].url = mem_strdup(url);
    arena_release(&arena);
    return err;
}

static enum err read_managers(struct alerts *a, struct slice list, struct why *why)
{
    enum err err = ERR_OK;

    while (list.len && !err) {
        const char *comma = memchr(list.ptr, ',', list.len);
        size_t len = comma ? (size_t)(comma - list.ptr) : list.len;

        err = add_manager(a, slice_of(list.ptr, len), why);
        len += comma ? 1 : 0;
        list = slice_of(list.ptr + len, list.len - len);
    }
    return err;
}

static enum err read_conf(struct alerts *a, const struct alerts_settings *conf, struct why *why)
{
    enum err err = webhook_waits_read(&a->waits, slice_str(conf->retries), why);

    if (err)
        return err_wrap(why, err, "ASSAY_ALERT_RETRIES");
    a->conf = conf;
    a->times = (struct alert_times){ .hold_us = conf->hold_ms * MS_US,
                                     .keep_us = conf->keep_ms * MS_US,
                                     .group_us = conf->group_ms * MS_US,
                                     .repeat_us = conf->repeat_ms * MS_US };
    a->rules = (struct alerts_rules){ .allow_http = conf->allow_http,
                                      .allow_private = conf->allow_private,
                                      .source = conf->source };
    err = seal_key_read(&a->rules.key, slice_str(conf->webhook_key), why);
    return err ? err : read_managers(a, slice_str(conf->alertmanagers), why);
}

static void add_metrics(struct alerts *a, struct metrics *metrics)
{
    a->set = metrics_add(metrics, table, M_COUNT);
    for (size_t i = 0; i < ALERT_SEVERITY_COUNT; i++)
        a->firing_series[i] =
            metric_series(a->set, M_FIRING, alert_severity_name((enum alert_severity)i), NULL);
    metrics_on_write(metrics, collect, a);
}

enum err alerts_open(struct alerts **out, struct loop *loop, struct metrics *metrics,
                     const struct alerts_settings *conf, const char *pg_url, const char *pg_role,
                     struct why *why)
{
    struct alerts *a = mem_new(struct alerts);
    enum err err = read_conf(a, conf, why);

    *out = NULL;
    pthread_mutex_init(&a->lock, NULL);
    a->outbox.oldest_us = INT64_MAX;
    if (!err)
        err =
            courier_open(&a->courier, loop, metrics,
                         &(struct deliver_conf){
                             .timeout_ms = conf->timeout_ms, .ca = conf->ca, .user_agent = "assay-monitor" },
                         wake, a, why);
    if (!err)
        err = watch_open(&a->watch,
                         &(struct watch_conf){ .name = "alerts",
                                               .conninfo = pg_url,
                                               .application = "assay-monitor-alerts",
                                               .role = pg_role,
                                               .turn = turn,
                                               .ctx = a },
                         why);
    if (err) {
        alerts_close(a);
        return err;
    }
    add_metrics(a, metrics);
    *out = a;
    return ERR_OK;
}

void alerts_close(struct alerts *a)
{
    if (!a)
        return;
    watch_close(a->watch);
    courier_close(a->courier);
    for (struct errand *next; a->back; a->back = next) {
        next = a->back->next;
        errand_free(a->back);
    }
    for (size_t i = 0; i < a->manager_count; i++)
        mem_free(a->managers[i].url);
    sodium_memzero(&a->rules, sizeof a->rules);
    pthread_mutex_destroy(&a->lock);
    mem_free(a);
}

const struct alerts_rules *alerts_rules(const struct alerts *a)
{
    return &a->rules;
}

void alerts_wake(struct alerts *a)
{
    watch_wake(a->watch);
}

bool alerts_are_well(struct alerts *a, struct why *trouble)
{
    return watch_is_well(a->watch, trouble);
}
