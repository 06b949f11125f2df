/* SPDX-License-Identifier: Apache-2.0
 * session_h1.c - HTTP/1.0 and 1.1 on http-parser, strict: a request that two readers could read in two ways
 * (Transfer-Encoding beside Content-Length, two Hosts, folded lines) is refused and the connection closed.
 *
 * One request at a time: while it is handled the parser is paused, and what was pipelined waits in `in`; so it
 * does when the session has had its turn. */
#include <assert.h>
#include <http_parser.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/decimal.h"
#include "base/mem.h"
#include "http/h1_lines.h"
#include "http/session_impl.h"

enum { PIPELINED_MAX = 16 << 10, KEEP_BYTES = 64 << 10 };

struct http1 {
    http_parser parser;
    struct h1_lines lines;
    struct buf in;            /* received, not parsed yet */
    struct buf out;           /* to be sent */
    struct buf name, value;   /* the field that is being parsed, or the URL in `value` */
    struct http_message *now; /* being received, handled, or NULL */
    bool is_value;            /* the parser is in the value of a field */
    bool is_complete;         /* `now` is whole: dispatch it */
    bool is_parsing;          /* inside advance(): a reply does not start another */
    bool is_trailer;
    bool keeps_alive; /* after the reply to `now` */
    bool takes_trailers;
    bool has_ended; /* the peer sends no more */
    bool is_over;   /* closed after `out` */
};

static void begin_refusal(struct http_session *s, int status)
{
    struct http1 *h = s->protocol;

    if (!h->now)
        h->now = http_message_new(s);
    h->now->refusal = status;
    if (status == 400) /* whether HEAD was read by then depends on how the bytes were cut */
        h->now->req.method = SLICE("");
    h->keeps_alive = false;
    h->is_complete = true;
}

static struct http_session *session_of(http_parser *p)
{
    return p->data;
}

/* The callbacks return nonzero to stop the parser; begin_refusal() has said why. */
static int on_message_begin(http_parser *p)
{
    struct http_session *s = session_of(p);
    struct http1 *h = s->protocol;

    h->now = http_message_new(s);
    h->is_trailer = false;
    h->is_value = false;
    buf_clear(&h->name);
    buf_clear(&h->value);
    return 0;
}

static int add_to(struct http_session *s, struct buf *b, const char *bytes, size_t len)
{
    struct http1 *h = s->protocol;

    if (h->now->header_bytes + h->name.len + h->value.len + len > s->host->limits.max_header_bytes) {
        begin_refusal(s, 431);
        return 1;
    }
    buf_add(b, bytes, len);
    return 0;
}

static int on_url(http_parser *p, const char *bytes, size_t len)
{
    struct http1 *h = session_of(p)->protocol;

    return add_to(session_of(p), &h->value, bytes, len);
}

static void lower(struct slice text)
{
    char *c = (char *)(uintptr_t)text.ptr;

    for (size_t i = 0; i < text.len; i++)
        if (c[i] >= 'A' && c[i] <= 'Z')
            c[i] = (char)(c[i] + ('a' - 'A'));
}

static struct slice trimmed(struct slice text)
{
    while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* The parser as Debian builds it is not its strict form: it lets spaces into names. (RFC 9110, 5.6.2) */
static bool is_token(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            !(c && strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return text.len > 0;
}

static bool is_visible(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f)
            return false;
    return text.len > 0;
}

/* The field before is whole when the next begins. */
static int finish_field(struct http_session *s)
{
    struct http1 *h = s->protocol;

    if (h->is_value && !is_token(buf_slice(&h->name))) {
        begin_refusal(s, 400);
        return 1;
    }
    if (h->is_value && !h->is_trailer) {
        lower(buf_slice(&h->name));
        http_message_add_header(h->now, buf_slice(&h->name), trimmed(buf_slice(&h->value)));
    } else if (h->is_value) {
        h->now->header_bytes += h->name.len + h->value.len; /* dropped, but not without end */
    }
    h->is_value = false;
    buf_clear(&h->name);
    buf_clear(&h->value);
    return 0;
}

static int finish_url(struct http_session *s)
{
    struct http1 *h = s->protocol;
    struct slice url = buf_slice(&h->value);
    struct http_parser_url parts;

    if (!is_visible(url) || h->parser.method == HTTP_CONNECT)
        goto refuse;
    if (url.ptr[0] != '/' && !slice_eq_str(url, "*")) {
        http_parser_url_init(&parts);
        if (http_parser_parse_url(url.ptr, url.len, 0, &parts) || !(parts.field_set & 1 << UF_PATH))
            goto refuse;
        url = slice_of(url.ptr + parts.field_data[UF_PATH].off, url.len - parts.field_data[UF_PATH].off);
    }
    http_message_set_target(h->now, url);
    buf_clear(&h->value);
    h->now->req.method = slice_str(http_method_str((enum http_method)h->parser.method));
    return 0;
refuse:
    begin_refusal(s, 400);
    return 1;
}

static int on_header_field(http_parser *p, const char *bytes, size_t len)
{
    struct http_session *s = session_of(p);
    struct http1 *h = s->protocol;

    if (!h->now->req.method.ptr && finish_url(s))
        return 1;
    if (h->is_value && finish_field(s))
        return 1;
    return add_to(s, &h->name, bytes, len);
}

/* In parts, where the bytes at hand ended within it. */
static int on_header_value(http_parser *p, const char *bytes, size_t len)
{
    struct http1 *h = session_of(p)->protocol;

    h->is_value = true;
    return add_to(session_of(p), &h->value, bytes, len);
}

static size_t count_headers(const struct http_message *m, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < m->header_count; i++)
        n += slice_eq_str(m->headers[i].name, name);
    return n;
}

static bool header_is(const struct http_message *m, const char *name, const char *value)
{
    struct slice found = http_headers_find(m->headers, m->header_count, name);

    return found.len == strlen(value) && strncasecmp(found.ptr, value, found.len) == 0;
}

static int on_headers_complete(http_parser *p)
{
    struct http_session *s = session_of(p);
    struct http1 *h = s->protocol;
    struct http_message *m = h->now;
    size_t hosts;

    if (!m->req.method.ptr && finish_url(s))
        return -1;
    if (finish_field(s))
        return -1;
    h->is_trailer = true;
    p->upgrade = 0; /* no other protocol is offered, so the peer must go on with this one */
    h->keeps_alive = http_should_keep_alive(p) && !s->is_draining && !s->is_retired;
    h->takes_trailers = p->http_major == 1 && p->http_minor == 1 && header_is(m, "te", "trailers");
    hosts = count_headers(m, "host");
    h1_lines_begin_body(&h->lines, p->flags & F_CHUNKED);
    m->req.authority = http_headers_find(m->headers, m->header_count, "host");
    http_message_head_complete(m);
    if (p->http_major != 1 || p->http_minor > 1)
        m->refusal = 505;
    else if (hosts > 1 || (p->http_minor == 1 && hosts == 0) ||
             (count_headers(m, "transfer-encoding") &&
              (p->http_minor == 0 || count_headers(m, "transfer-encoding") > 1 ||
               !header_is(m, "transfer-encoding", "chunked"))))
        m->refusal = 400;
    else if (count_headers(m, "expect") && !header_is(m, "expect", "100-continue"))
        m->refusal = 417;
    /* What could be read in two ways, or is too large, is not read on; nor is what has not been sent yet. */
    if (m->refusal && ((m->refusal != 404 && m->refusal != 405) || count_headers(m, "expect"))) {
        begin_refusal(s, m->refusal);
        return -1;
    }
    if (p->http_minor == 1 && count_headers(m, "expect"))
        buf_add_str(&h->out, "HTTP/1.1 100 Continue\r\n\r\n");
    return 0;
}

static int on_body(http_parser *p, const char *bytes, size_t len)
{
    struct http_session *s = session_of(p);
    struct http1 *h = s->protocol;

    http_message_add_body(h->now, bytes, len);
    if (h->now->refusal == 413 || h->now->refusal == 503) {
        begin_refusal(s, h->now->refusal);
        return 1;
    }
    return 0;
}

static int on_message_complete(http_parser *p)
{
    struct http_session *s = session_of(p);
    struct http1 *h = s->protocol;

    if (finish_field(s)) /* the last trailer */
        return 1;
    h->now->is_body_complete = true;
    h->is_complete = true;
    h->lines = (struct h1_lines){ 0 };
    http_parser_pause(p, 1);
    return 0;
}

static const http_parser_settings callbacks = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* Parses up to the end of a head or of a request; how many bytes that took. */
static size_t parse(struct http_session *s, const char *bytes, size_t len)
{
    struct http1 *h = s->protocol;
    bool is_bad;
    size_t sound = h1_lines_take(&h->lines, bytes, len, &is_bad), taken = 0;
    enum http_errno e;

    if (sound) /* to the parser, no bytes are the end of the connection */
        taken = http_parser_execute(&h->parser, &callbacks, bytes, sound);
    e = HTTP_PARSER_ERRNO(&h->parser);
    if (e == HPE_PAUSED) {
        http_parser_pause(&h->parser, 0);
        return taken;
    }
    if (e != HPE_OK) {
        if (!h->is_complete) {
            begin_refusal(s, e == HPE_HEADER_OVERFLOW ? 431 : e == HPE_INVALID_VERSION ? 505 : 400);
            h->now->req.method = SLICE(""); /* how much of it was read depends on how the bytes were cut */
        }
        return len;
    }
    if (is_bad) {
        begin_refusal(s, 400);
        return len;
    }
    return taken;
}

/* A request is being handled, or the peer does not take what it has asked for. */
static bool is_waiting(const struct http_session *s)
{
    const struct http1 *h = s->protocol;

    return h->is_over || (h->now && h->now->state != HTTP_RECEIVING) ||
           h->out.len > s->host->limits.max_unsent_bytes;
}

/* Parses and dispatches until a request is being handled, the bytes are used up or the turn is over; what is left
 * is kept. */
static void advance(struct http_session *s, const char *bytes, size_t len)
{
    struct http1 *h = s->protocol;

    h->is_parsing = true;
    while (len && s->steps_left && !is_waiting(s)) {
        size_t taken = parse(s, bytes, len);

        bytes += taken;
        len -= taken;
        if (h->is_complete) {
            h->is_complete = false;
            http_message_dispatch(h->now);
        }
    }
    h->is_parsing = false;
    if (len && !h->is_over)
        buf_add(&h->in, bytes, len);
}

/* Nothing can follow any more: what came of a request that is not whole never will be. */
static void finish(struct http_session *s)
{
    struct http1 *h = s->protocol;

    if (!h->has_ended || is_waiting(s) || h->in.len)
        return;
    if (h->now)
        http_message_free(h->now);
    h->now = NULL;
    h->is_over = true;
}

/* What has waited goes on. */
static void resume(struct http_session *s)
{
    struct http1 *h = s->protocol;
    struct buf waited;

    if (h->is_parsing || is_waiting(s))
        return;
    if (h->in.len && s->steps_left) {
        waited = h->in;
        buf_init(&h->in, 0);
        advance(s, buf_slice(&waited).ptr, waited.len);
        if (h->in.len) {
            buf_release(&waited);
        } else {
            buf_release(&h->in);
            buf_clear(&waited);
            h->in = waited;
        }
    }
    finish(s);
}

static bool h1_recv(struct http_session *s, const char *bytes, size_t len)
{
    struct http1 *h = s->protocol;

    if (h->is_over)
        return false;
    if (is_waiting(s) || h->in.len)
        buf_add(&h->in, bytes, len);
    else
        advance(s, bytes, len);
    resume(s);
    http_session_keeps(s, h->in.len);
    return !h->is_over;
}

static bool h1_go_on(struct http_session *s)
{
    const struct http1 *h = s->protocol;

    resume(s);
    http_session_keeps(s, h->in.len);
    return !h->is_over;
}

static bool h1_can_go_on(const struct http_session *s)
{
    const struct http1 *h = s->protocol;

    return h->in.len && !is_waiting(s);
}

static void h1_end(struct http_session *s)
{
    struct http1 *h = s->protocol;

    h->has_ended = true;
    h->keeps_alive = h->keeps_alive && h->in.len;
    finish(s);
}

static bool h1_wants_input(const struct http_session *s)
{
    const struct http1 *h = s->protocol;

    return !h->is_over && !h->has_ended && h->in.len < PIPELINED_MAX;
}

static void add_field(struct buf *out, struct slice name, struct slice value)
{
    char *to = buf_reserve(out, name.len + value.len + 4), *start = to;

    to = mempcpy(to, name.ptr, name.len);
    to = mempcpy(to, ": ", 2);
    if (value.len)
        to = mempcpy(to, value.ptr, value.len);
    to = mempcpy(to, "\r\n", 2);
    buf_commit(out, (size_t)(to - start));
}

static void add_chunked_with_trailers(struct buf *out, const struct http_message *m)
{
    if (m->reply_body.len) {
        buf_printf(out, "%zx\r\n", m->reply_body.len);
        buf_add_slice(out, m->reply_body);
        buf_add_str(out, "\r\n");
    }
    buf_add_str(out, "0\r\n");
    for (size_t i = 0; i < m->trailer_count; i++)
        add_field(out, m->trailers[i].name, m->trailers[i].value);
    buf_add_str(out, "\r\n");
}

static void add_status(struct buf *out, int status)
{
    char digits[DECIMAL_SIZE];

    buf_add_str(out, "HTTP/1.1 ");
    buf_add(out, digits, decimal_print_int(status, digits));
    buf_add_char(out, ' ');
    buf_add_str(out, http_status_text(status));
    buf_add_str(out, "\r\n");
}

static void add_length(struct buf *out, size_t len)
{
    char digits[DECIMAL_SIZE];

    buf_add_str(out, "Content-Length: ");
    buf_add(out, digits, decimal_print_int((int64_t)len, digits));
    buf_add_str(out, "\r\n");
}

/* All but what says where the body ends. */
static void add_head(struct http_session *s, const struct http_reply *reply)
{
    struct http1 *h = s->protocol;
    struct buf *out = &h->out;

    add_status(out, reply->status);
    if (reply->type)
        add_field(out, SLICE("Content-Type"), slice_str(reply->type));
    for (size_t i = 0; i < reply->header_count; i++)
        add_field(out, reply->headers[i].name, reply->headers[i].value);
}

static void end_head(struct http_session *s)
{
    struct http1 *h = s->protocol;
    struct buf *out = &h->out;

    h->keeps_alive = h->keeps_alive && !s->is_draining && !s->is_retired;
    if (!h->keeps_alive)
        buf_add_str(out, "Connection: close\r\n");
    else if (h->parser.http_minor == 0)
        buf_add_str(out, "Connection: keep-alive\r\n");
    buf_add_str(out, "\r\n");
}

static void finish_reply(struct http1 *h, struct http_message *m)
{
    h->now = NULL;
    h->is_over = h->is_over || !h->keeps_alive;
    http_message_free(m);
}

static void h1_reply(struct http_session *s, struct http_message *m, const struct http_reply *reply)
{
    struct http1 *h = s->protocol;
    struct buf *out = &h->out;
    bool has_no_body = reply->status == 204 || reply->status == 304;
    bool is_chunked = m->trailer_count && h->takes_trailers && !has_no_body;
    bool is_head = slice_eq_str(m->req.method, "HEAD");

    assert(m == h->now);
    add_head(s, reply);
    if (is_chunked)
        buf_add_str(out, "Transfer-Encoding: chunked\r\n");
    else if (!has_no_body)
        add_length(out, m->reply_body.len);
    end_head(s);
    if (!is_head && is_chunked)
        add_chunked_with_trailers(out, m);
    else if (!is_head && !has_no_body)
        buf_add_slice(out, m->reply_body);
    finish_reply(h, m);
}

/* HTTP/1.0 has no chunks: the end of the connection is the end. */
static bool has_chunks(const struct http1 *h)
{
    return h->parser.http_minor > 0;
}

static void h1_stream_begin(struct http_session *s, struct http_message *m, const struct http_reply *reply)
{
    struct http1 *h = s->protocol;

    (void)m;
    assert(m == h->now);
    add_head(s, reply);
    if (has_chunks(h))
        buf_add_str(&h->out, "Transfer-Encoding: chunked\r\n");
    else
        h->keeps_alive = false;
    end_head(s);
}

static size_t h1_stream_waiting(const struct http_session *s, const struct http_message *m)
{
    const struct http1 *h = s->protocol;

    (void)m;
    return h->out.len;
}

static void h1_stream_write(struct http_session *s, struct http_message *m, struct slice bytes)
{
    struct http1 *h = s->protocol;

    (void)m;
    if (has_chunks(h))
        buf_printf(&h->out, "%zx\r\n", bytes.len);
    buf_add_slice(&h->out, bytes);
    if (has_chunks(h))
        buf_add_str(&h->out, "\r\n");
}

static void h1_stream_end(struct http_session *s, struct http_message *m)
{
    struct http1 *h = s->protocol;

    if (has_chunks(h))
        buf_add_str(&h->out, "0\r\n\r\n");
    h->keeps_alive = h->keeps_alive && !s->is_draining;
    finish_reply(h, m);
}

static void h1_send(struct http_session *s, struct buf *out, size_t enough)
{
    struct http1 *h = s->protocol;
    size_t len;

    while (out->len < enough) {
        if (!h->out.len) {
            size_t before = h->in.len;

            resume(s);
            if (!h->out.len && h->in.len == before)
                break;
            continue;
        }
        len = h->out.len < enough - out->len ? h->out.len : enough - out->len;
        buf_add(out, buf_slice(&h->out).ptr, len);
        buf_take(&h->out, len);
    }
    http_session_keeps(s, h->in.len);
    if (!h->out.len && h->out.room > KEEP_BYTES)
        buf_release(&h->out);
}

static bool h1_is_over(const struct http_session *s)
{
    const struct http1 *h = s->protocol;

    return h->is_over && !h->out.len && !h->now;
}

static void h1_tick(struct http_session *s, int64_t now_us)
{
    const struct http_server_conf *limits = &s->host->limits;
    struct http1 *h = s->protocol;
    const struct http_message *m = h->now;

    if (h->is_over || is_waiting(s))
        return;
    if (!m) {
        if (now_us - s->idle_since_us >= http_host_patience(s->host, limits->idle_timeout_us))
            h->is_over = true;
        return;
    }
    if (m->is_head_complete
            ? now_us - m->head_complete_us < http_host_patience(s->host, limits->body_timeout_us)
            : now_us - m->req.arrived_mono_us < http_host_patience(s->host, limits->header_timeout_us))
        return;
    begin_refusal(s, 408);
    h->is_complete = false;
    http_message_dispatch(h->now);
}

static void h1_drain(struct http_session *s)
{
    struct http1 *h = s->protocol;

    if (!h->now && !h->in.len)
        h->is_over = true;
}

static void h1_free(struct http_session *s)
{
    struct http1 *h = s->protocol;

    buf_release(&h->in);
    buf_release(&h->out);
    buf_release(&h->name);
    buf_release(&h->value);
    mem_free(h);
}

const struct http_protocol_ops http1_ops = {
    .free = h1_free,
    .recv = h1_recv,
    .go_on = h1_go_on,
    .can_go_on = h1_can_go_on,
    .end = h1_end,
    .wants_input = h1_wants_input,
    .send = h1_send,
    .is_over = h1_is_over,
    .tick = h1_tick,
    .drain = h1_drain,
    .reply = h1_reply,
    .stream_begin = h1_stream_begin,
    .stream_waiting = h1_stream_waiting,
    .stream_write = h1_stream_write,
    .stream_end = h1_stream_end,
};

void http1_start(struct http_session *s)
{
    struct http1 *h = mem_new(struct http1);

    http_parser_init(&h->parser, HTTP_REQUEST);
    h->parser.data = s;
    buf_init(&h->in, 0);
    buf_init(&h->out, 0);
    buf_init(&h->name, 0);
    buf_init(&h->value, 0);
    s->ops = &http1_ops;
    s->protocol = h;
    s->peer.version = 11;
}
