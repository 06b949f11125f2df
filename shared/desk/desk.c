/* SPDX-License-Identifier: Apache-2.0 */
#include "desk/desk.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "api/problem.h"
#include "app/watch.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "fraud/api_key.h"
#include "log/log.h"
#include "loop/loop.h"
#include "pg/session.h"
#include "trace/span.h"
#include "userstore/delegate.h"

enum { WAIT_MOST_S = 60, LIST_LIMIT = 50, LIST_LIMIT_MAX = 1000, REST_US = 60000000 };

struct desk {
    struct desk_conf conf;
    struct watch *watch;
    /* The loop's: */
    size_t under_way;
    struct call *all; /* that are */
    struct trace_dice dice;
    int64_t usual_us; /* that an answer takes, of late */
    /* Between the threads, under the lock: */
    pthread_mutex_t lock;
    struct call *asked, **asked_end, *done;
};

/* ---- who asks ---- */

#define KEY_ROW                                                                                              \
    " FROM api_keys WHERE prefix = $1::text AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > " \
    "now()) AND ('admin' = ANY (scopes) OR $2::text = ANY (scopes))"
static const char key_sql[] = "SELECT secret_sha256, ''" KEY_ROW;
static const char owned_key_sql[] = "SELECT secret_sha256, owner" KEY_ROW;

static enum err check_delegate(struct call *c, struct pg_session *s, struct slice key, struct why *why)
{
    struct slice name;
    enum err err = delegate_check(s, key, why);

    if (!err)
        err = delegate_actor(c->on_behalf, &name, why);
    if (!err)
        snprintf(c->actor, sizeof c->actor, "%.*s", SLICE_ARG(name));
    return err;
}

/* When the key was used last, to the minute. */
static enum err note_use(struct pg_session *s, const char *prefix, struct why *why)
{
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    pg_add_text(&p, slice_str(prefix));
    err = pg_exec(
        s,
        "INSERT INTO api_key_uses AS u (prefix, used_at) VALUES ($1::text, now()) ON CONFLICT (prefix) "
        "DO UPDATE SET used_at = now() WHERE u.used_at < now() - interval '1 minute'",
        &p, &r, why);
    pg_result_free(r);
    pg_params_release(&p);
    return err;
}

static enum err check_key(struct call *c, struct pg_session *s, bool has_owners, struct why *why)
{
    static const char scheme[] = "Bearer ";
    const size_t scheme_len = sizeof scheme - 1;
    struct slice text = c->authorization;
    struct api_key key;
    struct pg_params p = { 0 };
    struct pg_result *r = NULL;
    enum err err;

    text = slice_starts_with(text, slice_str(scheme)) ? slice_of(text.ptr + scheme_len, text.len - scheme_len)
                                                      : SLICE("");
    if (delegate_looks_like(text))
        return check_delegate(c, s, text, why);
    if (c->on_behalf.ptr)
        return err_set(why, ERR_FORBIDDEN, "X-Assay-Actor is for services that speak for people");
    if (!api_key_read(&key, text))
        return err_set(why, ERR_UNAUTHORIZED, "a valid key is needed: \"Authorization: Bearer ak_...\"");
    pg_add_text(&p, slice_str(key.prefix));
    pg_add_text(&p, slice_str(c->scope));
    err = pg_exec(s, has_owners ? owned_key_sql : key_sql, &p, &r, why);
    if (!err && (pg_rows(r) != 1 || pg_get_bytes(r, 0, 0).len != SHA256_BYTES ||
                 sodium_memcmp(pg_get_bytes(r, 0, 0).ptr, key.secret_sha256, SHA256_BYTES) != 0))
        err = err_set(why, ERR_UNAUTHORIZED, "a valid key with the scope \"%s\" is needed", c->scope);
    if (!err && pg_get_text(r, 0, 1).len)
        snprintf(c->actor, sizeof c->actor, "%s", pg_get_text(r, 0, 1).ptr);
    else
        snprintf(c->actor, sizeof c->actor, "key:%s", key.prefix);
    pg_result_free(r);
    pg_params_release(&p);
    if (!err)
        err = note_use(s, key.prefix, why);
    sodium_memzero(&key, sizeof key);
    return err;
}

/* ---- spans ---- */

/* The attributes are those of OpenTelemetry's conventions for HTTP servers. */
void desk_tell(struct spans *spans, const struct trace *at, struct http_request *req, int status)
{
    const struct span_attribute attributes[] = {
        { "http.request.method", req->route->method, 0 },
        { "http.route", req->route->path, 0 },
        { "http.response.status_code", NULL, status },
    };
    int64_t now_us = clock_wall_us();

    if (!spans || !trace_is_sampled(at))
        return;
    spans_add(spans, &(struct span){
                         .at = at,
                         .name = arena_printf(&req->arena, "%s %s", req->route->method, req->route->path).ptr,
                         .kind = SPAN_SERVER,
                         .start_us = now_us - (clock_mono_us() - req->arrived_mono_us),
                         .end_us = now_us,
                         .attributes = attributes,
                         .attribute_count = ARRAY_LEN(attributes),
                         .trouble = status >= 500 ? "it was not answered" : NULL });
}

/* ---- the loop's side ---- */

static void call_free(struct call *c)
{
    buf_release(&c->out);
    arena_release(&c->arena);
    mem_free(c);
}

static size_t add_headers(const struct desk *d, struct http_header *headers)
{
    for (size_t i = 0; i < d->conf.header_count; i++)
        headers[i] = d->conf.headers[i];
    return d->conf.header_count;
}

static void reply_problem(const struct desk *d, struct call *c)
{
    struct problem problem = { .status = err_http_status(c->err), .detail = slice_str(c->why.text) };
    struct http_header headers[DESK_HEADERS_MAX + 2];
    size_t count = add_headers(d, headers);
    char wait[24];
    struct json_out o;

    buf_clear(&c->out);
    o = json_out_to(&c->out);
    problem_write(&o, NULL, &problem);
    snprintf(wait, sizeof wait, "%lld", c->retry_after_s ? (long long)c->retry_after_s : 1LL);
    if (problem.status == 503 || c->retry_after_s)
        headers[count++] = (struct http_header){ SLICE("retry-after"), slice_str(wait) };
    if (problem.status == 401 && !d->conf.admit)
        headers[count++] = (struct http_header){ SLICE("www-authenticate"), SLICE("Bearer") };
    desk_tell(d->conf.spans, &c->trace, c->req, problem.status);
    http_reply(c->req, &(struct http_reply){ .status = problem.status,
                                             .type = PROBLEM_MEDIA_TYPE,
                                             .body = buf_slice(&c->out),
                                             .headers = headers,
                                             .header_count = count });
}

/* It is not under way any more, and the request is as it was. */
static void forget(struct desk *d, struct call *c)
{
    struct call **at = &d->all;

    while (*at != c)
        at = &(*at)->next_under_way;
    *at = c->next_under_way;
    d->under_way--;
    c->req->on_gone = NULL;
    c->req->user = NULL;
}

/* Whoever asked has gone: what is still in the queue is taken out of it, and what is under way is told. */
static void on_gone(struct http_request *req)
{
    struct call *c = req->user, **at;
    struct desk *d = c->desk;
    bool is_queued;

    atomic_store(&c->is_left, true);
    if (!c->changes_nothing)
        return;
    pthread_mutex_lock(&d->lock);
    for (at = &d->asked; *at && *at != c;)
        at = &(*at)->next;
    is_queued = *at == c;
    if (is_queued) {
        *at = c->next;
        if (!c->next)
            d->asked_end = at;
    }
    pthread_mutex_unlock(&d->lock);
    if (!is_queued)
        return;
    forget(d, c);
    http_reply(req, &(struct http_reply){ .status = 503 }); /* nobody sees it */
    call_free(c);
}

static void reply(struct desk *d, struct call *c)
{
    forget(d, c);
    d->usual_us = d->usual_us ? (7 * d->usual_us + c->took_us) / 8 : c->took_us;
    if (c->err) {
        if (c->err == ERR_INTERNAL)
            log_limited(LOG_ERROR, "request_failed", "path=%s trace=%.*s why=%s", log_quoted(c->req->path),
                        SLICE_ARG(trace_id(&c->trace)), log_quoted(slice_str(c->why.text)));
        reply_problem(d, c);
    } else if (c->take_over) {
        c->take_over(c);
    } else {
        struct http_header headers[DESK_HEADERS_MAX + DESK_COOKIES_MAX];
        size_t count = add_headers(d, headers);

        for (size_t i = 0; i < DESK_COOKIES_MAX; i++)
            if (c->set_cookies[i].len)
                headers[count++] = (struct http_header){ SLICE("set-cookie"), c->set_cookies[i] };
        desk_tell(d->conf.spans, &c->trace, c->req, c->status);
        http_reply(c->req, &(struct http_reply){ .status = c->status,
                                                 .type = !c->out.len ? NULL
                                                         : c->type   ? c->type
                                                                     : "application/json",
                                                 .body = buf_slice(&c->out),
                                                 .headers = headers,
                                                 .header_count = count });
    }
    call_free(c);
}

static void collect(void *ctx)
{
    struct desk *d = ctx;
    struct call *c, *next;

    pthread_mutex_lock(&d->lock);
    c = d->done;
    d->done = NULL;
    pthread_mutex_unlock(&d->lock);
    for (; c; c = next) {
        next = c->next;
        reply(d, c);
    }
}

/* The last that X-Forwarded-For names, which the proxy next to us has put there; what stands before it anybody can say.
 * Empty when that is no address. */
static void find_forwarded(const struct http_request *req, char *address, size_t size)
{
    struct slice said = SLICE("");
    struct in6_addr six;
    struct in_addr four;
    size_t from;

    *address = '\0';
    for (size_t i = 0; i < req->header_count; i++)
        if (slice_eq_str(req->headers[i].name, "x-forwarded-for"))
            said = req->headers[i].value;
    for (from = said.len; from > 0 && said.ptr[from - 1] != ',' && said.ptr[from - 1] != ' ';)
        from--;
    if (said.len - from >= size)
        return;
    snprintf(address, size, "%.*s", (int)(said.len - from), said.ptr + from);
    if (inet_pton(AF_INET, address, &four) != 1 && inet_pton(AF_INET6, address, &six) != 1)
        *address = '\0';
}

static void find_address(const struct desk *d, const struct http_request *req, char *address, size_t size)
{
    *address = '\0';
    if (d->conf.is_behind_proxy)
        find_forwarded(req, address, size);
    if (*address)
        return;
    snprintf(address, size, "%s", req->peer->address);
    if (strrchr(address, ':'))
        *strrchr(address, ':') = '\0';
}

static bool read_limit(struct http_request *req, const char *name, int64_t fallback, int64_t most,
                       int64_t *out)
{
    struct slice text = http_query(req, name);

    *out = fallback;
    return !text.ptr || (slice_to_i64(text, out) && *out > 0 && *out <= most);
}

static size_t count_of(const struct desk *d, const char *person)
{
    size_t count = 0;

    for (const struct call *c = d->all; c && person; c = c->next_under_way)
        count += c->person && strcmp(c->person, person) == 0;
    return count;
}

/* When there may be room again: once those are answered that wait now. */
static void refuse(const struct desk *d, struct http_request *req, int status, const char *detail)
{
    int64_t wait_s = (d->usual_us * (int64_t)d->under_way + 999999) / 1000000;
    struct call c = { .req = req,
                      .retry_after_s = wait_s < 1             ? 1
                                       : wait_s > WAIT_MOST_S ? WAIT_MOST_S
                                                              : wait_s };

    c.err = status == 429 ? ERR_LIMIT : ERR_UNAVAILABLE;
    err_set(&c.why, c.err, "%s", detail);
    buf_init(&c.out, 0);
    reply_problem(d, &c);
    buf_release(&c.out);
}

static void take_in(struct desk *d, struct http_request *req, const char *scope, const char *body_type,
                    const char *person,
                    enum err (*answer)(struct call *c, struct pg_session *s, struct why *why))
{
    struct call *c;
    int64_t before, limit;

    if (d->under_way >= (d->conf.most ? d->conf.most : DESK_MOST)) {
        refuse(d, req, 503, "too many requests wait here; ask again later");
        return;
    }
    if (d->conf.most_of_person && count_of(d, person) >= d->conf.most_of_person) {
        refuse(d, req, 429,
               "too many of your own requests of this kind are under way; wait for their answers");
        return;
    }
    if (!read_limit(req, "before", 0, INT64_MAX, &before) ||
        !read_limit(req, "limit", LIST_LIMIT, LIST_LIMIT_MAX, &limit)) {
        http_reply_problem(req, 400, "before and limit are positive numbers; limit is at most 1000");
        return;
    }
    c = mem_new(struct call);
    c->req = req;
    c->desk = d;
    c->answer = answer;
    c->changes_nothing = d->conf.changes_nothing || slice_eq_str(req->method, "GET") ||
                         slice_eq_str(req->method, "HEAD") || strcmp(scope, "none") == 0;
    if (person)
        c->person = arena_strndup(&c->arena, person, strlen(person));
    c->ctx = d->conf.ctx;
    c->status = 200;
    c->scope = scope;
    c->before = before;
    c->limit = limit;
    c->now_us = req->now_us;
    trace_begin(&c->trace, http_header(req, "traceparent"), trace_throw(&d->dice), d->conf.trace_share);
    buf_init(&c->out, 0);
    c->authorization = arena_slice(&c->arena, http_header(req, "authorization"));
    c->body_type = body_type;
    c->body = body_type ? req->body : arena_slice(&c->arena, req->body);
    c->cookie = arena_slice(&c->arena, http_header(req, "cookie"));
    c->csrf = arena_slice(&c->arena, http_header(req, "x-csrf-token"));
    c->content_type = arena_slice(&c->arena, http_header(req, "content-type"));
    if (http_header(req, "x-assay-actor").ptr)
        c->on_behalf = arena_slice(&c->arena, http_header(req, "x-assay-actor"));
    c->is_tls = req->peer->is_tls;
    find_address(d, req, c->address, sizeof c->address);
    c->id = arena_slice(&c->arena, http_param(req, "id"));
    c->name = arena_slice(&c->arena, http_param(req, "name"));
    for (size_t i = 0; i < DESK_QUERY_MAX && d->conf.queries && d->conf.queries[i]; i++) {
        struct slice said = http_query(req, d->conf.queries[i]);

        if (said.ptr)
            c->query[i] = arena_slice(&c->arena, said);
    }
    d->under_way++;
    c->next_under_way = d->all;
    d->all = c;
    req->user = c;
    req->on_gone = on_gone;
    pthread_mutex_lock(&d->lock);
    *d->asked_end = c;
    d->asked_end = &c->next;
    pthread_mutex_unlock(&d->lock);
    watch_wake(d->watch);
}

void desk_ask(struct desk *d, struct http_request *req,
              enum err (*answer)(struct call *c, struct pg_session *s, struct why *why))
{
    desk_ask_for(d, req, "admin", answer);
}

void desk_ask_for(struct desk *d, struct http_request *req, const char *scope,
                  enum err (*answer)(struct call *c, struct pg_session *s, struct why *why))
{
    desk_ask_with(d, req, scope, NULL, answer);
}

void desk_ask_as(struct desk *d, struct http_request *req, const char *scope, const char *person,
                 enum err (*answer)(struct call *c, struct pg_session *s, struct why *why))
{
    take_in(d, req, scope, NULL, person, answer);
}

void desk_ask_with(struct desk *d, struct http_request *req, const char *scope, const char *body_type,
                   enum err (*answer)(struct call *c, struct pg_session *s, struct why *why))
{
    take_in(d, req, scope, body_type, NULL, answer);
}

struct desk *desk_least_busy(struct desk *const *desks, size_t count)
{
    struct desk *least = desks[0];

    for (size_t i = 1; i < count; i++)
        if (desks[i]->under_way < least->under_way)
            least = desks[i];
    return least;
}

/* ---- the desk's thread ---- */

static struct call *take(struct desk *d)
{
    struct call *c;

    pthread_mutex_lock(&d->lock);
    c = d->asked;
    if (c) {
        d->asked = c->next;
        if (!d->asked)
            d->asked_end = &d->asked;
    }
    pthread_mutex_unlock(&d->lock);
    return c;
}

static void give_back(struct desk *d, struct call *c)
{
    pthread_mutex_lock(&d->lock);
    c->next = d->done;
    d->done = c;
    pthread_mutex_unlock(&d->lock);
    loop_post(d->conf.loop, collect, d);
}

static bool is_lost(enum err err)
{
    return err == ERR_UNAVAILABLE || err == ERR_UNKNOWN;
}

static enum err turn(void *ctx, struct pg_session *s, int64_t *rest_us, const atomic_bool *is_ending,
                     struct why *why)
{
    struct desk *d = ctx;
    struct call *c;
    enum err lost = ERR_OK;

    (void)is_ending;
    *rest_us = REST_US;
    while (!lost && (c = take(d)) != NULL) {
        int64_t began_us = clock_mono_us();

        if (s && c->changes_nothing)
            pg_session_heed(s, &c->is_left);
        if (!s)
            c->err = err_set(&c->why, ERR_UNAVAILABLE, "the database cannot be reached");
        else if (!(c->err = d->conf.admit ? d->conf.admit(c, s, &c->why)
                                          : check_key(c, s, d->conf.has_owners, &c->why)))
            c->err = c->answer(c, s, &c->why);
        if (s && c->err == ERR_TIMEOUT && strcmp(pg_sqlstate(s), "57014") == 0)
            err_set(&c->why, ERR_TIMEOUT,
                    "the database took too long and was stopped; ask for less, or again later");
        if (s)
            pg_session_heed(s, NULL);
        c->took_us = clock_mono_us() - began_us;
        if (is_lost(c->err) && s) {
            lost = c->err; /* with a new connection the next one may fare better */
            *why = c->why;
        }
        if (!c->err && d->conf.changed && !slice_eq_str(c->req->method, "GET"))
            d->conf.changed(d->conf.ctx);
        give_back(d, c);
    }
    return lost;
}

enum err desk_open(struct desk **out, const struct desk_conf *conf, struct why *why)
{
    struct desk *d = mem_new(struct desk);
    enum err err;

    *out = NULL;
    d->conf = *conf;
    d->asked_end = &d->asked;
    pthread_mutex_init(&d->lock, NULL);
    err = watch_open(&d->watch,
                     &(struct watch_conf){ .name = "desk",
                                           .conninfo = conf->pg_url,
                                           .application = conf->application,
                                           .role = conf->pg_role,
                                           .session_sql = conf->session_sql,
                                           .turn = turn,
                                           .ctx = d },
                     why);
    if (err) {
        desk_close(d);
        return err;
    }
    *out = d;
    return ERR_OK;
}

void desk_close(struct desk *d)
{
    struct call *c;

    if (!d)
        return;
    watch_close(d->watch);
    while ((c = d->all) != NULL) {
        forget(d, c);
        http_reply(c->req, &(struct http_reply){ .status = 503 });
        call_free(c);
    }
    pthread_mutex_destroy(&d->lock);
    mem_free(d);
}
