/* SPDX-License-Identifier: Apache-2.0 */
#include "part.h"

#include <string.h>

#include "app/service.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ingestion.h"
#include "log/log.h"
#include "proto/health.pb-c.h"

enum {
    PROBE_EVERY_US = 100000,
    PROBE_TIME_US = 150000,
    RECONNECT_MOST_MS = 80, /* so that each probe finds a connection, or tries one */
    TIMEOUTS_TO_OPEN = 3,
};

struct part {
    struct ingestion *in;
    const char *name;
    const ProtobufCServiceDescriptor *service;
    struct grpc_channel *channels[PART_ADDRESSES_MAX];
    size_t channel_count, active;
    size_t series; /* of M_PART_UP */

    bool is_open, is_closing;
    unsigned timeouts; /* in a row */
    struct loop_timer probe_timer;
    struct arena probe_arena;
    size_t probes; /* under way */
};

/* One call on its way through the addresses; in the caller's arena. */
struct attempt {
    struct part *part;
    const char *method;
    const ProtobufCMessage *request;
    int64_t deadline_mono_us, patience_us; /* which the peer was given */
    const char *parent;
    struct arena *arena;
    grpc_done_fn *done;
    void *arg;
    size_t channel, tries;
    bool is_refused; /* by the breaker */
    struct loop_task refuse;
};

struct probe {
    struct part *part;
    size_t channel;
};

static void put_open(struct part *p, bool is_open, const char *reason)
{
    if (p->is_open == is_open || p->is_closing)
        return;
    p->is_open = is_open;
    p->timeouts = 0;
    metric_put(p->in->metrics, M_PART_UP, p->series, !is_open);
    if (is_open) {
        log_event(LOG_WARN, "part_missing", "part=%s reason=%s", p->name, log_quoted(slice_str(reason)));
        if (p->probes == 0)
            loop_timer_set(&p->probe_timer, PROBE_EVERY_US);
    } else {
        log_event(LOG_INFO, "part_back", "part=%s", p->name);
    }
}

static void on_probed(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *why)
{
    struct probe *probe = arg;
    struct part *p = probe->part;
    const Grpc__Health__V1__HealthCheckResponse *answer = (const void *)reply;
    bool is_serving;

    is_serving = !err && answer->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    p->probes--;
    if (p->is_closing)
        return;
    if (p->is_open && is_serving) {
        p->active = probe->channel;
        put_open(p, false, NULL);
    } else if (!p->is_open && !is_serving && p->timeouts > 0 && probe->channel == p->active) {
        put_open(p, true, err ? why->text : "a call timed out, and it says itself that it does not serve");
    }
    if (p->probes == 0 && p->is_open)
        loop_timer_set(&p->probe_timer, PROBE_EVERY_US);
}

static void probe_all(void *arg)
{
    static const ProtobufCServiceDescriptor *const health = &grpc__health__v1__health__descriptor;
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    struct part *p = arg;

    arena_reset(&p->probe_arena);
    for (size_t i = 0; i < p->channel_count; i++) {
        struct probe *probe = arena_new(&p->probe_arena, struct probe, 1);

        *probe = (struct probe){ p, i };
        p->probes++;
        grpc_call(p->channels[i], health, "Check", &request.base, clock_mono_us() + PROBE_TIME_US,
                  &p->probe_arena, on_probed, probe);
    }
}

static enum err add_address(struct part *p, struct slice address, struct why *why)
{
    struct http_client_conf conf = {
        .body_most = 32 << 20,
        .pause_most_ms = RECONNECT_MOST_MS,
        .tls = service_client_tls(p->in->app),
        .tls_name = p->name, /* the part's own, wherever it stands */
    };
    char *text;
    enum err err;

    if (p->channel_count == PART_ADDRESSES_MAX)
        return err_set(why, ERR_INVALID, "more than %d addresses", PART_ADDRESSES_MAX);
    text = mem_strndup(address.ptr, address.len);
    conf.address = text;
    err = grpc_channel_open(&p->channels[p->channel_count], p->in->loop, &conf, why);
    mem_free(text);
    if (!err)
        p->channel_count++;
    return err;
}

enum err part_open(struct part **out, struct ingestion *in, const char *name, const char *addresses,
                   const ProtobufCServiceDescriptor *service, struct why *why)
{
    struct part *p = mem_new(struct part);
    enum err err = ERR_OK;

    p->in = in;
    p->name = name;
    p->service = service;
    p->series = metric_series(in->metrics, M_PART_UP, name, NULL);
    loop_timer_init(&p->probe_timer, in->loop, probe_all, p);
    while (*addresses && !err) {
        size_t len = strcspn(addresses, ",");

        if (len)
            err = add_address(p, slice_of(addresses, len), why);
        addresses += len + (addresses[len] == ',');
    }
    if (err) {
        part_close(p);
        *out = NULL;
        return err_wrap(why, err, "address of %s", name);
    }
    metric_put(in->metrics, M_PART_UP, p->series, p->channel_count > 0);
    *out = p;
    return ERR_OK;
}

void part_close(struct part *p)
{
    if (!p)
        return;
    p->is_closing = true;
    for (size_t i = 0; i < p->channel_count; i++)
        grpc_channel_close(p->channels[i]);
    loop_timer_release(&p->probe_timer);
    arena_release(&p->probe_arena);
    mem_free(p);
}

bool part_is_usable(const struct part *part)
{
    return part->channel_count > 0 && !part->is_open;
}

static void attempt_send(struct attempt *a);

static void on_answer(void *arg, enum err err, const ProtobufCMessage *reply, const struct why *why)
{
    struct attempt *a = arg;
    struct part *p = a->part;

    switch (err) {
    case ERR_OK:
        p->timeouts = 0;
        break;
    case ERR_UNAVAILABLE:
    case ERR_UNKNOWN: /* every method may be asked twice */
        if (p->active == a->channel)
            p->active = (p->active + 1) % p->channel_count;
        if (++a->tries < p->channel_count && !p->is_closing) {
            attempt_send(a);
            return;
        }
        put_open(p, true, why->text);
        break;
    case ERR_TIMEOUT:
        if (++p->timeouts >= TIMEOUTS_TO_OPEN)
            put_open(p, true, why->text);
        else if (a->patience_us >= PROBE_TIME_US && p->probes == 0 && !p->is_open)
            probe_all(p); /* slow, or gone? That is no question when it had no time. */
        break;
    default: /* it is there and did not like the question */
        log_limited(LOG_ERROR, "part_refused", "part=%s method=%s error=%s reason=%s parent=%s", p->name,
                    a->method, err_name(err), log_quoted(slice_str(why->text)), a->parent ? a->parent : "-");
        break;
    }
    a->done(a->arg, err, reply, why);
}

static void attempt_send(struct attempt *a)
{
    struct http_header parent = { SLICE("traceparent"), slice_str(a->parent) };

    a->channel = a->part->active;
    a->patience_us = a->deadline_mono_us - clock_mono_us();
    grpc_call_with(a->part->channels[a->channel], a->part->service, a->method, a->request,
                   a->deadline_mono_us, &parent, a->parent ? 1 : 0, a->arena, on_answer, a);
}

static void refuse(void *arg)
{
    struct attempt *a = arg;
    struct why why;

    err_set(&why, ERR_UNAVAILABLE, "%s is missing", a->part->name);
    a->done(a->arg, ERR_UNAVAILABLE, NULL, &why);
}

void part_call(struct part *part, const char *method, const ProtobufCMessage *request,
               int64_t deadline_mono_us, const char *parent, struct arena *arena, grpc_done_fn *done,
               void *arg)
{
    struct attempt *a = arena_new(arena, struct attempt, 1);

    *a = (struct attempt){ .part = part,
                           .method = method,
                           .request = request,
                           .deadline_mono_us = deadline_mono_us,
                           .parent = parent,
                           .arena = arena,
                           .done = done,
                           .arg = arg,
                           .refuse = { .run = refuse, .ctx = a } };
    if (part_is_usable(part))
        attempt_send(a);
    else
        loop_work(part->in->loop, &a->refuse);
}
