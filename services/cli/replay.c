/* SPDX-License-Identifier: Apache-2.0 */
#include "replay.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "http/client.h"
#include "http/tls.h"
#include "loop/loop.h"
#include "source.h"
#include "line.h"

enum {
    PAUSE_FIRST_MS = 20,
    PAUSE_MOST_MS = 1000,
    ATTEMPT_MS = 10000, /* one attempt, when the server does not say */
    PROGRESS_MS = 250,
    BODY_MOST = 8 << 20,
};

/* One request from its making to its final answer. */
struct shot {
    struct replay *replay;
    struct shot *next; /* among the spare ones */
    bool is_label;
    struct buf body;
    struct planned_item {
        size_t id_at, id_len; /* in `ids` */
        int64_t amount_minor;
        bool is_fraud;
    } * items;
    size_t item_count, item_cap;
    struct buf ids;
    int64_t due_mono_us, give_up_mono_us;
    int64_t pause_ms;
    size_t target;
    struct loop_timer again;
};

struct replay {
    const struct replay_conf *conf;
    struct replay_result *result;
    struct loop *loop;
    struct source *source;
    struct http_client *targets[REPLAY_TARGETS_MAX];
    struct tls *tls; /* NULL until one of them is https */
    char *addresses[REPLAY_TARGETS_MAX];
    size_t target_count, target_next;
    struct http_header fields[3];
    size_t field_count;
    char authorization[512], deadline[32];

    struct buf line; /* of the stream, as the API takes it */
    struct shot *spare;
    struct shot *filling; /* a batch that is not full yet */
    size_t under_way;
    bool is_at_end;
    enum err err;
    struct why *why;

    int clock_fd;
    struct event *clock;
    struct loop_task pump;
    struct loop_timer progress;
    int64_t started_mono_us;
    uint64_t shown_decided, scheduled;
    int64_t shown_mono_us;
};

static void on_pump(void *arg);

/* ---- shots ---- */

static void on_again(void *arg);

static struct shot *shot_get(struct replay *r)
{
    struct shot *s = r->spare;

    if (s) {
        r->spare = s->next;
    } else {
        s = mem_new(struct shot);
        s->replay = r;
        buf_init(&s->body, 0);
        buf_init(&s->ids, 0);
        loop_timer_init(&s->again, r->loop, on_again, s);
    }
    buf_clear(&s->body);
    buf_clear(&s->ids);
    s->item_count = 0;
    s->is_label = false;
    s->pause_ms = PAUSE_FIRST_MS;
    return s;
}

static void shot_add(struct shot *s, const struct line *item)
{
    ARRAY_RESERVE_ONE(s->items, s->item_count, s->item_cap);
    s->items[s->item_count++] =
        (struct planned_item){ s->ids.len, item->id.len, item->amount_minor, item->is_fraud };
    buf_add_slice(&s->ids, item->id);
}

static struct slice shot_id(const struct shot *s, size_t i)
{
    return slice_of(buf_slice(&s->ids).ptr + s->items[i].id_at, s->items[i].id_len);
}

static void shot_free(struct shot *s)
{
    loop_timer_release(&s->again);
    buf_release(&s->body);
    buf_release(&s->ids);
    mem_free(s->items);
    mem_free(s);
}

static void shot_done(struct shot *s)
{
    struct replay *r = s->replay;

    s->next = r->spare;
    r->spare = s;
    r->under_way--;
    loop_work(r->loop, &r->pump);
}

/* ---- answers ---- */

static void note_fault(struct replay *r, const char *what, int status, struct slice body)
{
    if (!r->result->first_fault.text[0])
        err_set(&r->result->first_fault, ERR_INTERNAL, "%s (%d): %.*s", what, status,
                body.len < 400 ? (int)body.len : 400, body.ptr);
}

/* Takes what the table wants from a decision. False when it is none. */
static bool read_decision(struct slice json, enum action *action, double *score, bool *is_degraded)
{
    struct line_member m;
    bool is_broken;
    size_t at = 0;

    *action = ACTION_COUNT;
    *score = NAN;
    *is_degraded = false;
    while (line_next(json, &at, &m, &is_broken)) {
        if (slice_eq_str(m.name, "action"))
            *action = action_find(line_string(m.value));
        else if (slice_eq_str(m.name, "score") && !slice_to_double(m.value, score))
            *score = NAN;
        else if (slice_eq_str(m.name, "degraded"))
            *is_degraded = memchr(m.value.ptr, '"', m.value.len) != NULL;
    }
    return !is_broken && *action != ACTION_COUNT;
}

static void count_answer(struct shot *s, size_t i, int status, struct slice json)
{
    struct replay *r = s->replay;
    struct tally *t = &r->result->tally;
    bool is_degraded;
    enum action action;
    double score;

    t->statuses[status < (int)ARRAY_LEN(t->statuses) ? status : 0]++;
    if (status != 200) {
        note_fault(r, "refused", status, json);
        return;
    }
    if (!read_decision(json, &action, &score, &is_degraded)) {
        note_fault(r, "no decision", status, json);
        return;
    }
    tally_latency(t, clock_mono_us() - s->due_mono_us);
    tally_decision(t, shot_id(s, i), s->items[i].amount_minor, action, score, is_degraded);
    if (r->conf->record)
        fprintf(r->conf->record, "%.*s\n", SLICE_ARG(json));
}

/* What may be different next time. */
static bool is_passing(int status)
{
    return status == 429 || status == 503 || status == 504 || status == 502;
}

/* One of the elements of {"results":[{"status":200,"decision":{...}}, ...]}. */
static int read_result(struct slice element, struct slice *json)
{
    struct line_member m;
    bool is_broken;
    int64_t status = 0;
    size_t at = 0;

    *json = element;
    while (line_next(element, &at, &m, &is_broken)) {
        if (slice_eq_str(m.name, "status") && !slice_to_i64(m.value, &status))
            status = 0;
        else if (slice_eq_str(m.name, "decision"))
            *json = m.value;
    }
    return (int)status;
}

/* Whether all of a batch are answered for good; then they have been counted. */
static bool take_batch(struct shot *s, struct slice body)
{
    struct slice list = { 0 }, element, json;
    struct line_member m;
    bool is_broken;
    size_t at = 0, n = 0;

    while (line_next(body, &at, &m, &is_broken))
        if (slice_eq_str(m.name, "results"))
            list = m.value;
    for (at = 0; line_next_element(list, &at, &element, &is_broken);)
        if (is_passing(read_result(element, &json)))
            return false;
    for (at = 0; n < s->item_count && line_next_element(list, &at, &element, &is_broken); n++) {
        int status = read_result(element, &json);

        count_answer(s, n, status, json);
    }
    for (; n < s->item_count; n++)
        count_answer(s, n, 0, body);
    return true;
}

static bool take_answer(struct shot *s, const struct http_client_answer *a)
{
    struct tally *t = &s->replay->result->tally;

    if (is_passing(a->status))
        return false;
    if (s->is_label) {
        t->labels++;
        if (a->status >= 300)
            note_fault(s->replay, "label refused", a->status, a->body);
        return true;
    }
    if (s->replay->conf->batch > 1 && a->status == 200)
        return take_batch(s, a->body);
    for (size_t i = 0; i < s->item_count; i++)
        count_answer(s, i, a->status, a->body);
    return true;
}

static void on_answer(void *arg, enum err err, const struct http_client_answer *a, const struct why *why)
{
    struct shot *s = arg;
    struct replay *r = s->replay;

    if (!err && take_answer(s, a)) {
        shot_done(s);
        return;
    }
    if (clock_mono_us() < s->give_up_mono_us && r->err == ERR_OK) {
        r->result->tally.retries++;
        loop_timer_set(&s->again, s->pause_ms * MS_US);
        s->pause_ms = s->pause_ms < PAUSE_MOST_MS / 2 ? 2 * s->pause_ms : PAUSE_MOST_MS;
        return;
    }
    r->result->tally.lost += s->item_count;
    note_fault(r, err_name(err), err ? 0 : a->status, err ? slice_str(why->text) : a->body);
    shot_done(s);
}

/* ---- requests ---- */

static void shoot(struct shot *s)
{
    struct replay *r = s->replay;
    int64_t attempt_ms = r->conf->deadline_ms ? r->conf->deadline_ms + 1000 : ATTEMPT_MS;
    struct http_client_request request = {
        .method = "POST",
        .path = s->is_label          ? SLICE("/v1/labels")
                : r->conf->batch > 1 ? SLICE("/v1/transactions:batch")
                                     : SLICE("/v1/transactions"),
        .fields = r->fields,
        .field_count = r->field_count,
        .body = buf_slice(&s->body),
        .deadline_mono_us = clock_mono_us() + attempt_ms * MS_US,
    };

    r->result->requests++;
    http_client_send(r->targets[s->target], &request, on_answer, s);
}

static void on_again(void *arg)
{
    struct shot *s = arg;

    s->target = (s->target + 1) % s->replay->target_count;
    shoot(s);
}

static void launch(struct shot *s, int64_t due_mono_us)
{
    struct replay *r = s->replay;

    if (!s->is_label && r->conf->batch > 1)
        buf_add_str(&s->body, "]}");
    s->due_mono_us = due_mono_us;
    s->give_up_mono_us = clock_mono_us() + r->conf->patience_s * SECOND_US;
    s->target = r->target_next++ % r->target_count;
    r->under_way++;
    shoot(s);
}

/* When the next transaction is to go: now, or at its place in the rate. */
static int64_t next_due(const struct replay *r)
{
    if (r->conf->rate <= 0)
        return clock_mono_us();
    return r->started_mono_us + (int64_t)((double)r->scheduled * 1e6 / r->conf->rate);
}

static void launch_filling(struct replay *r)
{
    struct shot *s = r->filling;

    r->filling = NULL;
    if (s)
        launch(s, s->due_mono_us);
}

static void fire_label(struct replay *r, const struct line *item)
{
    struct shot *s;

    tally_label(&r->result->tally, item->id, item->is_fraud);
    if (r->conf->sends_no_labels)
        return;
    launch_filling(r); /* so that it goes after what came before it */
    s = shot_get(r);
    s->is_label = true;
    shot_add(s, item);
    buf_add_slice(&s->body, buf_slice(&r->line));
    launch(s, clock_mono_us());
}

static void fire_transaction(struct replay *r, const struct line *item)
{
    struct shot *s = r->filling ? r->filling : shot_get(r);

    if (!s->item_count)
        s->due_mono_us = next_due(r);
    if (r->conf->batch > 1)
        buf_add_str(&s->body, s->item_count ? "," : "{\"transactions\":[");
    buf_add_slice(&s->body, buf_slice(&r->line));
    shot_add(s, item);
    r->scheduled++;
    r->result->transactions++;
    r->filling = s;
    if ((int64_t)s->item_count >= r->conf->batch)
        launch_filling(r);
}

static void fire(struct replay *r, struct slice line)
{
    struct line item;
    struct why why = { 0 };
    enum err err;

    buf_clear(&r->line);
    err = line_read(&item, line, &r->line, &why);
    if (err) {
        r->err = err_set(r->why, err, "line %" PRIu64 ": %s", source_lines(r->source), why.text);
        r->is_at_end = true;
    } else if (item.kind == LINE_LABEL) {
        fire_label(r, &item);
    } else {
        fire_transaction(r, &item);
    }
}

/* ---- the pump: sends what may go now ---- */

static void wake_at(struct replay *r, int64_t mono_us)
{
    struct itimerspec at = { .it_value = { mono_us / SECOND_US, mono_us % SECOND_US * 1000 } };

    timerfd_settime(r->clock_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static bool may_send(struct replay *r)
{
    int64_t due;

    if ((int64_t)r->under_way >= r->conf->in_flight)
        return false;
    due = next_due(r);
    if (r->conf->rate <= 0 || due <= clock_mono_us())
        return true;
    wake_at(r, due);
    return false;
}

static void on_pump(void *arg)
{
    struct replay *r = arg;
    struct slice line;

    while (!r->is_at_end && may_send(r)) {
        enum source_state state;

        if (r->conf->limit && (int64_t)r->result->transactions >= r->conf->limit)
            state = SOURCE_END;
        else
            state = source_line(r->source, &line);
        if (state == SOURCE_LATER)
            return;
        if (state == SOURCE_END) {
            r->is_at_end = true;
            launch_filling(r);
            break;
        }
        fire(r, line);
    }
    if (r->is_at_end && !r->under_way)
        loop_stop(r->loop);
}

static void on_clock(evutil_socket_t fd, short what, void *arg)
{
    uint64_t ticks;

    (void)what;
    if (read(fd, &ticks, sizeof ticks) > 0)
        on_pump(arg);
}

static void on_stop(void *arg)
{
    struct replay *r = arg;

    r->is_at_end = true;
    on_pump(r);
}

/* ---- progress ---- */

enum { BAR = 24 };

static void on_progress(void *arg)
{
    struct replay *r = arg;
    const struct tally *t = &r->result->tally;
    double share = source_share_done(r->source);
    int64_t now = clock_mono_us();
    double rate = (double)(t->decided - r->shown_decided) * 1e6 / (double)(now - r->shown_mono_us);
    int full = share < 0 ? 0 : (int)(share * BAR);

    if (r->conf->limit)
        share = (double)r->result->transactions / (double)r->conf->limit;
    if (share >= 0)
        full = (int)(share * BAR);
    fprintf(r->conf->progress,
            "\r[%.*s%*s] %3.0f %%  %9" PRIu64 " decided  %7.0f/s  %5zu under way  %" PRIu64 " retries ", full,
            "########################", BAR - full, "", share < 0 ? 0 : 100 * share, t->decided, rate,
            r->under_way, t->retries);
    fflush(r->conf->progress);
    r->shown_decided = t->decided;
    r->shown_mono_us = now;
    loop_timer_set(&r->progress, PROGRESS_MS * MS_US);
}

/* ---- opening and closing ---- */

/* "https://host:8443" as the client wants it. */
static enum err open_target(struct replay *r, struct slice url, struct why *why)
{
    bool is_tls = slice_starts_with(url, SLICE("https://"));
    size_t skip = is_tls ? strlen("https://") : strlen("http://");
    struct http_client_conf conf = {
        .connections = (size_t)r->conf->connections,
        .waiting_most = 1 << 20, /* we bound them ourselves */
        .body_most = BODY_MOST,
    };
    size_t n = r->target_count;
    enum err err = ERR_OK;

    if (n == REPLAY_TARGETS_MAX || (!is_tls && !slice_starts_with(url, SLICE("http://"))))
        return err_set(why, ERR_INVALID, "\"%.*s\" is no http:// or https:// URL", SLICE_ARG(url));
    if (is_tls && !r->tls)
        err = tls_open(&r->tls, &(struct tls_conf){ .ca = r->conf->ca }, why);
    if (err)
        return err;
    conf.tls = is_tls ? r->tls : NULL;
    url = slice_of(url.ptr + skip, url.len - skip);
    while (url.len && url.ptr[url.len - 1] == '/')
        url.len--;
    r->addresses[n] = mem_strndup(url.ptr, url.len);
    conf.address = r->addresses[n];
    r->target_count++;
    return http_client_open(&r->targets[n], r->loop, &conf, why);
}

static enum err open_targets(struct replay *r, struct why *why)
{
    enum err err = ERR_OK;

    for (const char *p = r->conf->urls; *p && !err;) {
        size_t len = strcspn(p, ",");

        err = open_target(r, slice_of(p, len), why);
        p += len + (p[len] == ',');
    }
    if (!err && !r->target_count)
        err = err_set(why, ERR_INVALID, "no URL to send to");
    return err;
}

static void make_fields(struct replay *r)
{
    r->fields[r->field_count++] = (struct http_header){ SLICE("content-type"), SLICE("application/json") };
    if (r->conf->key) {
        snprintf(r->authorization, sizeof r->authorization, "Bearer %s", r->conf->key);
        r->fields[r->field_count++] =
            (struct http_header){ SLICE("authorization"), slice_str(r->authorization) };
    }
    if (r->conf->deadline_ms) {
        snprintf(r->deadline, sizeof r->deadline, "%" PRId64, r->conf->deadline_ms);
        r->fields[r->field_count++] =
            (struct http_header){ SLICE("assay-deadline-ms"), slice_str(r->deadline) };
    }
}

static void release(struct replay *r)
{
    for (size_t i = 0; i < r->target_count; i++) {
        http_client_close(r->targets[i]);
        mem_free(r->addresses[i]);
    }
    tls_close(r->tls);
    if (r->filling)
        shot_free(r->filling);
    buf_release(&r->line);
    while (r->spare) {
        struct shot *s = r->spare;

        r->spare = s->next;
        shot_free(s);
    }
    source_close(r->source);
    if (r->clock)
        event_free(r->clock);
    if (r->clock_fd >= 0)
        close(r->clock_fd);
    loop_timer_release(&r->progress);
    loop_close(r->loop);
}

enum err replay_run(const struct replay_conf *conf, struct replay_result *result, struct why *why)
{
    struct replay r = { .conf = conf, .result = result, .why = why, .clock_fd = -1 };
    enum err err = loop_open(&r.loop, why);

    *result = (struct replay_result){ 0 };
    if (err)
        return err;
    r.pump = (struct loop_task){ .run = on_pump, .ctx = &r };
    loop_timer_init(&r.progress, r.loop, on_progress, &r);
    loop_on_stop(r.loop, on_stop, &r);
    make_fields(&r);
    err = open_targets(&r, why);
    if (!err)
        err = source_open(&r.source, r.loop, conf->from, on_pump, &r, why);
    if (!err) {
        r.clock_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        r.clock = event_new(loop_base(r.loop), r.clock_fd, EV_READ | EV_PERSIST, on_clock, &r);
        event_add(r.clock, NULL);
        r.started_mono_us = r.shown_mono_us = clock_mono_us();
        if (conf->progress)
            loop_timer_set(&r.progress, PROGRESS_MS * MS_US);
        loop_work(r.loop, &r.pump);
        loop_run(r.loop);
        result->seconds = (double)(clock_mono_us() - r.started_mono_us) / 1e6;
        if (conf->progress)
            fprintf(conf->progress, "\r%90s\r", "");
        err = r.err;
    }
    release(&r);
    return err;
}
