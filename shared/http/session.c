/* SPDX-License-Identifier: Apache-2.0 */
#include "http/session.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "http/session_impl.h"

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum {
    PREFACE_BYTES = sizeof preface - 1,
    SPARE_MAX = 1024,
    SPARE_KEEPS_BYTES = 64 << 10,
    REQUEST_BYTES = 5 << 10,
    SESSION_SHARE = 8, /* no connection holds more than this part of all memory, but for one more request */
};

/* ---- the host ---- */

static int64_t real_mono_us(void *ctx)
{
    (void)ctx;
    return clock_mono_us();
}

static int64_t real_wall_us(void *ctx)
{
    (void)ctx;
    return clock_wall_us();
}

#define DEFAULT(field, value)                                                                                \
    if (!h->limits.field)                                                                                    \
    h->limits.field = (value)

void http_host_init(struct http_host *h, const struct http_server_conf *conf)
{
    *h = (struct http_host){ .limits = *conf, .mono_us = real_mono_us, .wall_us = real_wall_us };
    DEFAULT(max_connections, 10000);
    DEFAULT(max_streams, 256);
    DEFAULT(max_body_bytes, 1 << 20);
    DEFAULT(max_buffered_bytes, 256 << 20);
    DEFAULT(max_header_bytes, 16 << 10);
    DEFAULT(max_headers, 64);
    DEFAULT(max_resets_per_s, 200);
    DEFAULT(idle_timeout_us, 60 * SECOND_US);
    DEFAULT(stale_timeout_us, 10 * SECOND_US);
    DEFAULT(header_timeout_us, 10 * SECOND_US);
    DEFAULT(body_timeout_us, 30 * SECOND_US);
    DEFAULT(write_timeout_us, 20 * SECOND_US);
    DEFAULT(max_unsent_bytes, 256 << 10);
}
#undef DEFAULT

static void message_release(struct http_message *m)
{
    arena_release(&m->req.arena);
    buf_release(&m->body);
    buf_release(&m->stream_out);
    mem_free(m->headers);
    mem_free(m);
}

void http_host_release(struct http_host *h)
{
    pieces_release(&h->pieces);
    while (h->spare) {
        struct http_message *m = h->spare;

        h->spare = m->next;
        message_release(m);
    }
    while (h->orphans) {
        struct http_message *m = h->orphans;

        h->orphans = m->next;
        m->next = NULL;
        m->place = NULL;
        m->host = NULL;
    }
    http_router_release(&h->router);
}

/* ---- messages ---- */

static void unlink_message(struct http_message *m)
{
    if (!m->place)
        return;
    *m->place = m->next;
    if (m->next)
        m->next->place = m->place;
    else if (m->session)
        m->session->open_last = m->place;
    if (m->session)
        m->session->open_count--;
    m->next = NULL;
    m->place = NULL;
}

static void refuse_with(struct http_message *m, int status)
{
    if (!m->refusal)
        m->refusal = status;
}

static void take_hold(struct http_message *m, size_t bytes)
{
    m->host->held_bytes += bytes;
    m->held_bytes += bytes;
    if (m->session)
        m->session->held_bytes += bytes;
}

static void let_go(struct http_message *m)
{
    if (m->host)
        m->host->held_bytes -= m->held_bytes;
    if (m->session)
        m->session->held_bytes -= m->held_bytes;
    m->held_bytes = 0;
}

/* Counts memory that a peer makes us take; false, and the request refused, when all together hold too much.
 */
static bool hold(struct http_message *m, size_t bytes)
{
    struct http_host *h = m->host;

    if (bytes > h->limits.max_buffered_bytes || h->held_bytes > h->limits.max_buffered_bytes - bytes) {
        refuse_with(m, 503);
        return false;
    }
    take_hold(m, bytes);
    return true;
}

bool http_session_is_full(const struct http_session *s)
{
    const struct http_host *h = s->host;
    size_t most = h->limits.max_buffered_bytes;

    return h->held_bytes + REQUEST_BYTES > most || s->held_bytes > most / SESSION_SHARE;
}

bool http_host_is_burdened(const struct http_host *h)
{
    return h->held_bytes > h->limits.max_buffered_bytes / 4 * 3;
}

int64_t http_host_patience(const struct http_host *h, int64_t us)
{
    return h->is_crowded || http_host_is_burdened(h) ? us / 8 : us;
}

struct http_message *http_message_new(struct http_session *s)
{
    struct http_host *h = s->host;
    struct http_message *m = h->spare;

    if (m) {
        h->spare = m->next;
        h->spare_count--;
    } else {
        m = mem_new(struct http_message);
        buf_init(&m->body, 0);
    }
    m->req.arrived_mono_us = h->mono_us(h->ctx) - h->unread_us;
    m->req.peer = &s->peer;
    m->req.message = m;
    m->host = h;
    m->session = s;
    m->state = HTTP_RECEIVING;
    m->next = NULL;
    m->place = s->open_last;
    *s->open_last = m;
    s->open_last = &m->next;
    s->open_count++;
    hold(m, REQUEST_BYTES);
    return m;
}

/* What is kept of a used message: its memory, unless it became large. */
static void message_clear(struct http_message *m)
{
    struct http_message kept = { .headers = m->headers, .header_cap = m->header_cap };

    if (m->req.arena.total > SPARE_KEEPS_BYTES)
        arena_release(&m->req.arena);
    else
        arena_reset(&m->req.arena);
    if (m->body.room > SPARE_KEEPS_BYTES)
        buf_release(&m->body);
    else
        buf_clear(&m->body);
    buf_release(&m->stream_out);
    kept.req.arena = m->req.arena;
    kept.body = m->body;
    *m = kept;
}

void http_message_free(struct http_message *m)
{
    struct http_host *h = m->host;

    if (m->session && m->session->open_count == 1)
        m->session->idle_since_us = h->mono_us(h->ctx);
    let_go(m);
    unlink_message(m);
    if (!h || h->spare_count >= SPARE_MAX) {
        message_release(m);
        return;
    }
    message_clear(m);
    m->next = h->spare;
    h->spare = m;
    h->spare_count++;
}

void http_message_abandon(struct http_message *m)
{
    struct http_peer *peer;

    if (m->state != HTTP_HANDLING) {
        http_message_free(m);
        return;
    }
    unlink_message(m);
    m->session->handling--;
    m->session->held_bytes -= m->held_bytes;
    peer = arena_new(&m->req.arena, struct http_peer, 1);
    *peer = m->session->peer;
    m->req.peer = peer;
    m->session = NULL;
    m->next = m->host->orphans;
    if (m->next)
        m->next->place = &m->next;
    m->place = &m->host->orphans;
    m->host->orphans = m;
    m->req.is_gone = true;
    if (m->req.on_gone)
        m->req.on_gone(&m->req);
}

void http_message_add_header(struct http_message *m, struct slice name, struct slice value)
{
    const struct http_server_conf *limits = &m->host->limits;

    m->header_bytes += name.len + value.len;
    if (m->header_bytes > limits->max_header_bytes || m->header_count >= limits->max_headers) {
        refuse_with(m, 431);
        return;
    }
    if (!hold(m, name.len + value.len))
        return;
    ARRAY_RESERVE_ONE(m->headers, m->header_count, m->header_cap);
    m->headers[m->header_count].name = arena_slice(&m->req.arena, name);
    m->headers[m->header_count++].value = arena_slice(&m->req.arena, value);
}

void http_message_set_target(struct http_message *m, struct slice target)
{
    const char *mark = target.len ? memchr(target.ptr, '?', target.len) : NULL;
    size_t split = mark ? (size_t)(mark - target.ptr) : target.len;

    m->header_bytes += target.len;
    if (m->header_bytes > m->host->limits.max_header_bytes) {
        refuse_with(m, 431);
        return;
    }
    target = arena_slice(&m->req.arena, target);
    m->req.path = target;
    m->req.query = SLICE("");
    if (split < target.len) {
        m->req.path.len = split;
        m->req.query = slice_of(target.ptr + split + 1, target.len - split - 1);
    }
}

/* %41 becomes A; what is no such triple stays as it is. */
static struct slice percent_decode(struct arena *a, struct slice text, bool plus_is_space)
{
    char *out = arena_new(a, char, text.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        int high = i + 2 < text.len && text.ptr[i] == '%' ? hex_digit(text.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text.ptr[i + 2]) : -1;

        if (low >= 0) {
            out[n++] = (char)(high * 16 + low);
            i += 2;
        } else {
            out[n++] = plus_is_space && text.ptr[i] == '+' ? ' ' : text.ptr[i];
        }
    }
    return slice_of(out, n);
}

void http_message_head_complete(struct http_message *m)
{
    struct http_request *req = &m->req;
    struct slice length;
    int64_t bytes;

    m->is_head_complete = true;
    m->head_complete_us = m->host->mono_us(m->host->ctx);
    req->headers = m->headers;
    req->header_count = m->header_count;
    m->match = http_router_find(&m->host->router, req->method, req->path);
    for (size_t i = 0; i < m->match.param_count; i++)
        if (memchr(m->match.params[i].ptr, '%', m->match.params[i].len))
            m->match.params[i] = percent_decode(&req->arena, m->match.params[i], false);
    req->route = m->match.entry ? m->match.entry->route : NULL;
    if (!req->route)
        refuse_with(m, m->match.is_path_known ? 405 : 404);
    m->body.cap = req->route && req->route->max_body_bytes ? req->route->max_body_bytes
                                                           : m->host->limits.max_body_bytes;
    length = http_header(req, "content-length");
    if (length.ptr && (!slice_to_i64(length, &bytes) || bytes < 0))
        refuse_with(m, 400);
    else if (length.ptr && (uint64_t)bytes > m->body.cap)
        m->refusal = 413;
}

void http_message_add_body(struct http_message *m, const char *bytes, size_t len)
{
    if (len > m->body.cap - m->body.len) {
        m->refusal = 413;
        return;
    }
    if (m->refusal == 413 || m->refusal == 503 || !hold(m, len))
        return;
    buf_add(&m->body, bytes, len);
}

static void refuse(struct http_message *m)
{
    struct http_host *h = m->host;
    int status = m->refusal;

    m->req.headers = m->headers;
    m->req.header_count = m->header_count;
    m->req.route = NULL;
    if (h->refuse && h->refuse(h->refuse_ctx, &m->req, status))
        return;
    if (status == 405) {
        struct slice detail;
        struct http_header allow = { .name = SLICE("allow") };
        struct buf methods;

        buf_init(&methods, 0);
        http_router_allowed(&h->router, m->req.path, &methods);
        allow.value = arena_slice(&m->req.arena, buf_slice(&methods));
        buf_release(&methods);
        detail = SLICE("{\"type\":\"about:blank\",\"title\":\"Method Not Allowed\",\"status\":405}");
        http_reply(&m->req, &(struct http_reply){ .status = 405,
                                                  .type = "application/problem+json",
                                                  .body = detail,
                                                  .headers = &allow,
                                                  .header_count = 1 });
        return;
    }
    http_reply_problem(&m->req, status, NULL);
}

void http_message_dispatch(struct http_message *m)
{
    const struct http_router_entry *entry = m->match.entry;

    m->state = HTTP_HANDLING;
    m->session->handling++;
    m->session->requests++;
    http_session_step(m->session, HTTP_REQUEST_STEPS);
    m->req.now_us = m->host->wall_us(m->host->ctx);
    m->req.body = buf_slice(&m->body);
    if (m->refusal)
        refuse(m);
    else
        entry->route->handle(entry->service, &m->req);
}

/* ---- what handlers ask and answer ---- */

struct slice http_param(const struct http_request *req, const char *name)
{
    const struct http_match *match = &req->message->match;

    for (size_t i = 0; i < match->param_count; i++)
        if (slice_eq_str(match->names[i], name))
            return match->params[i];
    return (struct slice){ 0 };
}

struct slice http_header(const struct http_request *req, const char *name)
{
    return http_headers_find(req->headers, req->header_count, name);
}

struct slice http_query(struct http_request *req, const char *name)
{
    struct slice rest = req->query;

    while (rest.len) {
        const char *amp = memchr(rest.ptr, '&', rest.len);
        struct slice pair = slice_of(rest.ptr, amp ? (size_t)(amp - rest.ptr) : rest.len);
        const char *equals = memchr(pair.ptr, '=', pair.len);
        struct slice key = slice_of(pair.ptr, equals ? (size_t)(equals - pair.ptr) : pair.len);

        if (slice_eq_str(percent_decode(&req->arena, key, true), name)) {
            struct slice value = equals ? slice_of(equals + 1, pair.len - key.len - 1) : SLICE("");

            return percent_decode(&req->arena, value, true);
        }
        rest = slice_of(rest.ptr + pair.len + (amp ? 1 : 0), rest.len - pair.len - (amp ? 1 : 0));
    }
    return (struct slice){ 0 };
}

/* A value that came from outside must not become a second header. */
static bool is_clean(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < ' ' && text.ptr[i] != '\t')
            return false;
    return true;
}

static const struct http_header *clean_headers(struct http_message *m, const struct http_header *headers,
                                               size_t *count)
{
    struct http_header *clean;
    size_t n = 0;

    if (!*count)
        return NULL;
    clean = arena_new(&m->req.arena, struct http_header, *count);
    for (size_t i = 0; i < *count; i++) {
        if (!headers[i].name.len || !is_clean(headers[i].name) || !is_clean(headers[i].value))
            continue;
        clean[n].name = arena_slice(&m->req.arena, headers[i].name);
        clean[n++].value = arena_slice(&m->req.arena, headers[i].value);
    }
    *count = n;
    return clean;
}

static struct slice join_body(struct http_message *m, const struct http_reply *reply)
{
    size_t len = reply->body.len;
    char *to, *body;

    for (size_t i = 0; i < reply->piece_count; i++)
        len += reply->pieces[i].len;
    if (!len)
        return SLICE("");
    to = body = arena_new(&m->req.arena, char, len);
    if (reply->body.len)
        to = mempcpy(to, reply->body.ptr, reply->body.len);
    for (size_t i = 0; i < reply->piece_count; i++)
        if (reply->pieces[i].len)
            to = mempcpy(to, reply->pieces[i].ptr, reply->pieces[i].len);
    return slice_of(body, len);
}

void http_reply(struct http_request *req, const struct http_reply *reply)
{
    struct http_message *m = req->message;
    struct http_session *s = m->session;
    struct http_host *h = m->host;
    struct http_reply own = *reply;

    assert(m->state == HTTP_HANDLING && !m->is_stream && reply->status >= 200 && reply->status <= 999);
    if (h && h->on_replied)
        h->on_replied(h->ctx, m->match.entry, reply->status, h->mono_us(h->ctx) - req->arrived_mono_us);
    if (!s) {
        http_message_free(m);
        return;
    }
    if (reply->is_lasting) {
        m->reply_body = reply->body;
    } else {
        own.headers = clean_headers(m, reply->headers, &own.header_count);
        own.trailers = clean_headers(m, reply->trailers, &own.trailer_count);
        m->reply_body = join_body(m, reply);
    }
    m->reply_sent = 0;
    m->replied_us = h->mono_us(h->ctx);
    take_hold(m, m->reply_body.len); /* refused or not, it takes its room until it is sent */
    s->replies++;
    s->handling--;
    m->trailers = own.trailers;
    m->trailer_count = own.trailer_count;
    m->state = HTTP_REPLIED;
    s->ops->reply(s, m, &own);
    s->on_output(s->ctx);
}

void http_stream_begin(struct http_request *req, const struct http_reply *reply)
{
    struct http_message *m = req->message;
    struct http_session *s = m->session;
    struct http_host *h = m->host;
    struct http_reply own = *reply;

    assert(m->state == HTTP_HANDLING && !m->is_stream && !slice_eq_str(req->method, "HEAD"));
    m->is_stream = true;
    if (h && h->on_replied)
        h->on_replied(h->ctx, m->match.entry, reply->status, h->mono_us(h->ctx) - req->arrived_mono_us);
    if (!s)
        return;
    own.headers = clean_headers(m, reply->headers, &own.header_count);
    take_hold(m, HTTP_STREAM_BYTES);
    s->replies++;
    s->ops->stream_begin(s, m, &own);
    s->on_output(s->ctx);
    if (reply->body.len)
        (void)http_stream_write(req, reply->body);
}

bool http_stream_write(struct http_request *req, struct slice bytes)
{
    struct http_message *m = req->message;
    struct http_session *s = m->session;

    assert(m->is_stream);
    if (!s || s->ops->stream_waiting(s, m) + bytes.len > HTTP_STREAM_BYTES)
        return false;
    if (bytes.len) {
        s->ops->stream_write(s, m, bytes);
        s->on_output(s->ctx);
    }
    return true;
}

void http_stream_end(struct http_request *req)
{
    struct http_message *m = req->message;
    struct http_session *s = m->session;

    assert(m->is_stream);
    if (!s) {
        http_message_free(m);
        return;
    }
    s->handling--;
    m->replied_us = s->host->mono_us(s->host->ctx);
    m->state = HTTP_REPLIED;
    s->ops->stream_end(s, m);
    s->on_output(s->ctx);
}

static void add_json_text(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buf_printf(out, "\\%c", *text);
        else if ((unsigned char)*text < ' ')
            buf_printf(out, "\\u%04x", (unsigned)*text);
        else
            buf_add_char(out, *text);
    }
}

void http_reply_problem(struct http_request *req, int status, const char *detail)
{
    const struct http_header retry = { SLICE("retry-after"), SLICE("1") };
    bool may_retry = status == 503;
    struct buf body;

    buf_init(&body, 0);
    buf_printf(&body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d", http_status_text(status),
               status);
    if (detail && detail[0] && slice_is_utf8(slice_str(detail))) {
        buf_add_str(&body, ",\"detail\":\"");
        add_json_text(&body, detail);
        buf_add_char(&body, '"');
    }
    buf_add_char(&body, '}');
    http_reply(req, &(struct http_reply){ .status = status,
                                          .type = "application/problem+json",
                                          .body = buf_slice(&body),
                                          .headers = &retry,
                                          .header_count = may_retry ? 1 : 0 });
    buf_release(&body);
}

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 303, "See Other" },
        { 304, "Not Modified" },
        { 307, "Temporary Redirect" },
        { 308, "Permanent Redirect" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 411, "Length Required" },
        { 412, "Precondition Failed" },
        { 413, "Content Too Large" },
        { 415, "Unsupported Media Type" },
        { 417, "Expectation Failed" },
        { 421, "Misdirected Request" },
        { 422, "Unprocessable Content" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Status";
}

/* ---- the session ---- */

struct http_session *http_session_new(struct http_host *host, enum http_protocol protocol,
                                      const struct http_peer *peer, void (*on_output)(void *ctx), void *ctx)
{
    struct http_session *s = mem_new(struct http_session);

    *s = (struct http_session){ .host = host, .peer = *peer, .on_output = on_output, .ctx = ctx };
    s->open_last = &s->open;
    s->steps_left = SIZE_MAX;
    s->began_us = s->idle_since_us = host->mono_us(host->ctx);
    if (protocol == HTTP_1)
        http1_start(s);
    else if (protocol == HTTP_2)
        http2_start(s);
    return s;
}

void http_session_free(struct http_session *s)
{
    if (!s)
        return;
    while (s->open)
        http_message_abandon(s->open);
    http_session_keeps(s, 0);
    if (s->ops)
        s->ops->free(s);
    mem_free(s);
}

/* Compares with the HTTP/2 preface as far as it goes; on the first difference the bytes so far, which are
 * known, are given to HTTP/1. */
static bool sniff(struct http_session *s, const char *bytes, size_t len)
{
    size_t seen = s->sniffed, i = 0;

    while (i < len && seen + i < PREFACE_BYTES && bytes[i] == preface[seen + i])
        i++;
    s->sniffed += i;
    if (s->sniffed == PREFACE_BYTES)
        http2_start(s);
    else if (i < len)
        http1_start(s);
    else
        return true;
    if (seen && !s->ops->recv(s, preface, seen))
        return false;
    return s->ops->recv(s, bytes, len);
}

bool http_session_recv(struct http_session *s, const char *bytes, size_t len)
{
    bool goes_on;

    if (!len)
        return !http_session_is_over(s);
    s->steps_left = s->host->quota ? s->host->quota : SIZE_MAX;
    goes_on = s->ops ? s->ops->recv(s, bytes, len) : sniff(s, bytes, len);
    s->on_output(s->ctx);
    return goes_on;
}

bool http_session_go_on(struct http_session *s)
{
    bool goes_on;

    s->steps_left = s->host->quota ? s->host->quota : SIZE_MAX;
    goes_on = s->ops ? s->ops->go_on(s) : !s->is_over;
    s->on_output(s->ctx);
    return goes_on;
}

bool http_session_can_go_on(const struct http_session *s)
{
    return s->ops && s->ops->can_go_on(s);
}

void http_session_step(struct http_session *s, size_t steps)
{
    s->steps += steps;
    s->steps_left -= steps < s->steps_left ? steps : s->steps_left;
}

void http_session_keeps(struct http_session *s, size_t bytes)
{
    s->host->held_bytes += bytes - s->kept_bytes;
    s->held_bytes += bytes - s->kept_bytes;
    s->kept_bytes = bytes;
}

size_t http_session_steps(const struct http_session *s)
{
    return s->steps;
}

size_t http_session_requests(const struct http_session *s)
{
    return s->requests;
}

void http_session_end(struct http_session *s)
{
    if (s->ops)
        s->ops->end(s);
    else
        s->is_over = true;
}

bool http_session_wants_input(const struct http_session *s)
{
    return s->ops ? s->ops->wants_input(s) : true;
}

void http_session_send(struct http_session *s, struct buf *out, size_t enough)
{
    if (s->ops)
        s->ops->send(s, out, enough);
}

bool http_session_is_over(const struct http_session *s)
{
    return s->ops ? s->ops->is_over(s) : s->is_over;
}

void http_session_tick(struct http_session *s)
{
    int64_t now_us = s->host->mono_us(s->host->ctx);
    int64_t wait_us = http_host_patience(s->host, s->sniffed ? s->host->limits.header_timeout_us
                                                             : s->host->limits.idle_timeout_us);

    if (s->ops)
        s->ops->tick(s, now_us);
    else if (s->is_draining || now_us - s->began_us >= wait_us)
        s->is_over = true;
}

void http_session_drain(struct http_session *s)
{
    if (s->is_draining)
        return;
    s->is_draining = true;
    if (s->ops)
        s->ops->drain(s);
    else if (!s->sniffed)
        s->is_over = true;
    s->on_output(s->ctx);
}

void http_session_retire(struct http_session *s)
{
    if (s->peer.version == 2)
        http_session_drain(s);
    else
        s->is_retired = true;
}

size_t http_session_replies(const struct http_session *s)
{
    return s->replies;
}

bool http_session_is_handling(const struct http_session *s)
{
    return s->handling > 0;
}

double http_session_burden(const struct http_session *s)
{
    int64_t since_us = s->open ? s->open->req.arrived_mono_us : s->idle_since_us;

    if (http_session_is_handling(s))
        return 0;
    return (double)s->held_bytes * (double)(s->host->mono_us(s->host->ctx) - since_us + 1);
}

size_t http_session_open_requests(const struct http_session *s)
{
    return s->open_count;
}
