/* SPDX-License-Identifier: Apache-2.0
 * session_h2.c - HTTP/2 on nghttp2. A stream's user data is its message, until the stream is closed.
 *
 * What a peer could do at little cost to itself and much to us is counted: streams reset before they were
 * answered, header bytes, CONTINUATION, and all frames that carry no request: a few are due for each frame that
 * we send. Sources: CVE-2023-44487 (rapid reset), CVE-2024-28182 (CONTINUATION), CVE-2019-9511 to 9518 (tiny
 * windows, PING, PRIORITY, RST_STREAM, SETTINGS, empty frames). */
#include <assert.h>
#include <nghttp2/nghttp2.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "http/h2_memory.h"
#include "http/session_impl.h"

enum {
    STREAM_WINDOW_BYTES = 256 << 10,
    CONNECTION_WINDOW_BYTES = 4 << 20,
    DROPPED_MAX = 8 << 20, /* of a body that nobody reads */
    CONTINUATIONS_MAX = 8,
    ACKS_MAX = 1000,
    CONTROL_PER_S = 1000,       /* frames without a request; far more than anyone needs, beside these: */
    CONTROL_PER_SENT = 4,       /* window updates and the like, for each frame of ours */
    TINY_DATA_BYTES = 16,       /* DATA shorter than this counts as such a frame, unless it is the last */
    OUTBOUND_MAX = 4096,        /* frames that wait because the peer does not read: then we do not either */
    OUTBOUND_FRAME_BYTES = 200, /* of memory for each of them, about */
    REPLY_PATIENCE = 10,        /* times write_timeout_us, for the whole of a reply */
    LAST_GOAWAY_AFTER_US =
        200 * 1000, /* a round trip: until then requests that were on their way are taken */
};

enum { PREFACE_BYTES = 24, FRAME_HEAD_BYTES = 9 };

/* RFC 9113, 4.1 */
struct frame_head {
    size_t len;
    int type, flags;
    int32_t stream;
};

static struct frame_head frame_head_of(const unsigned char b[FRAME_HEAD_BYTES])
{
    return (struct frame_head){
        .len = (size_t)b[0] << 16 | (size_t)b[1] << 8 | b[2],
        .type = b[3],
        .flags = b[4],
        .stream = (b[5] & 0x7f) << 24 | b[6] << 16 | b[7] << 8 | b[8],
    };
}

struct http2 {
    nghttp2_session *ng;
    int64_t second_us; /* the counts below are since then */
    size_t resets, completed, controls, sent;
    size_t replies;                 /* replied to, not all sent */
    int64_t progress_us;            /* when something of a reply was last sent, or the first one made */
    int64_t drain_us;               /* when the first GOAWAY was sent */
    int32_t last_stream;            /* that a request came on; */
    int32_t newest_stream;          /* and the same with what nghttp2 was not fed yet */
    struct http_message *receiving; /* whose head it is; NULL: unknown */
    bool has_reset;                 /* a stream: what the peer sent on it before it knew may still come */
    /* Where in the bytes we are: so many of a head, then so many of its frame (or the preface) to come. */
    unsigned char head[FRAME_HEAD_BYTES];
    size_t head_bytes, frame_left;
    struct buf waiting; /* frames that came when the turn was over */
    bool sent_last_goaway;
    bool is_over; /* broken, or ended by the peer */
};

static void roll_second(struct http_session *s)
{
    struct http2 *h = s->protocol;
    int64_t now_us = s->host->mono_us(s->host->ctx);

    if (now_us - h->second_us < SECOND_US)
        return;
    h->second_us = now_us;
    h->resets = h->completed = h->controls = h->sent = 0;
}

static void calm_down(struct http_session *s, const char *why)
{
    struct http2 *h = s->protocol;

    if (h->sent_last_goaway)
        return;
    h->sent_last_goaway = true;
    if (s->host->on_flood)
        s->host->on_flood(s->host->ctx, &s->peer, why);
    nghttp2_session_terminate_session(h->ng, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void count_reset(struct http_session *s)
{
    struct http2 *h = s->protocol;

    roll_second(s);
    h->resets++;
    if (h->resets > s->host->limits.max_resets_per_s && h->resets > h->completed)
        calm_down(s, "resets");
}

static void count_control(struct http_session *s)
{
    struct http2 *h = s->protocol;

    roll_second(s);
    if (++h->controls > CONTROL_PER_S + CONTROL_PER_SENT * h->sent)
        calm_down(s, "control_frames");
}

static struct http_message *message_of(nghttp2_session *ng, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(ng, stream);
}

static bool is_request(const nghttp2_frame *frame)
{
    return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http_session *s = user;
    struct http_message *m;

    if (!is_request(frame))
        return 0;
    ((struct http2 *)s->protocol)->last_stream = frame->hd.stream_id;
    if (http_session_is_full(s)) { /* an answer would take room too: so it is one that takes none */
        nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    m = http_message_new(s);
    m->stream = frame->hd.stream_id;
    nghttp2_session_set_stream_user_data(ng, m->stream, m);
    ((struct http2 *)s->protocol)->receiving = m;
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    struct http_session *s = user;
    struct http2 *h = s->protocol;
    struct http_message *m = h->receiving;
    struct slice n = slice_of(name, name_len), v = slice_of(value, value_len);

    (void)flags;
    if (!m || m->stream != frame->hd.stream_id)
        m = message_of(ng, frame->hd.stream_id);
    if (!m || m->state != HTTP_RECEIVING)
        return 0;
    if (!is_request(frame)) { /* trailers of a request: nobody asked for them, but they are not free */
        m->header_bytes += name_len + value_len;
        return m->header_bytes > 2 * s->host->limits.max_header_bytes ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
                                                                      : 0;
    }
    if (name_len && name[0] != ':') {
        http_message_add_header(m, n, v);
        /* The table is compressed: what follows must be decoded, but not without end. */
        if (m->header_bytes > 8 * s->host->limits.max_header_bytes) {
            calm_down(s, "headers");
            return NGHTTP2_ERR_CALLBACK_FAILURE; /* a byte of the table may stand for 4 KiB: not one more */
        }
        return 0;
    }
    if (slice_eq(n, SLICE(":path")))
        http_message_set_target(m, v);
    else if (slice_eq(n, SLICE(":method")))
        m->req.method = arena_slice(&m->req.arena, v);
    else if (slice_eq(n, SLICE(":authority")))
        m->req.authority = arena_slice(&m->req.arena, v);
    return 0;
}

static void dispatch(struct http_message *m)
{
    m->is_body_complete = true;
    http_message_dispatch(m);
}

static bool is_refused_early(const struct http_message *m)
{
    return m->refusal && m->refusal != 404 && m->refusal != 405;
}

static void finish_head(nghttp2_session *ng, struct http_message *m, bool has_body)
{
    struct slice expect;

    if (!m->req.method.ptr)
        m->req.method = SLICE("");
    if (!m->req.path.ptr)
        m->req.path = SLICE("");
    http_message_head_complete(m);
    if (!m->req.authority.ptr)
        m->req.authority = http_header(&m->req, "host");
    if (!has_body) {
        dispatch(m);
        return;
    }
    expect = http_header(&m->req, "expect");
    if (is_refused_early(m) || (m->refusal && expect.ptr)) {
        http_message_dispatch(m);
        return;
    }
    if (slice_eq_str(expect, "100-continue")) {
        static const nghttp2_nv go_on = { (uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "100", 7,
                                          3, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE };

        nghttp2_submit_headers(ng, NGHTTP2_FLAG_NONE, m->stream, NULL, &go_on, 1, NULL);
    }
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http_message *m;
    bool is_last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

    (void)user;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        m = message_of(ng, frame->hd.stream_id);
        if (!m || m->state != HTTP_RECEIVING)
            break;
        if (is_request(frame))
            finish_head(ng, m, !is_last);
        else if (is_last)
            dispatch(m);
        break;
    case NGHTTP2_DATA:
        m = message_of(ng, frame->hd.stream_id);
        if (m && m->state == HTTP_RECEIVING && is_last)
            dispatch(m);
        break;
    default:
        break;
    }
    return 0;
}

static void stop_sending(nghttp2_session *ng, const struct http_message *m)
{
    nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, m->stream, NGHTTP2_NO_ERROR);
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t stream, const uint8_t *bytes, size_t len,
                   void *user)
{
    struct http_message *m = message_of(ng, stream);

    (void)flags;
    (void)user;
    if (!m)
        return 0;
    if (m->state != HTTP_RECEIVING) {
        /* Answered before its end. A peer may be told to stop (RFC 9113, 8.1), but curl 7.88 then drops the
         * answer; so what is not much is let in and dropped. */
        m->dropped_bytes += len;
        if (m->state == HTTP_REPLIED && m->dropped_bytes > DROPPED_MAX)
            stop_sending(ng, m);
        return 0;
    }
    http_message_add_body(m, (const char *)bytes, len);
    if (is_refused_early(m))
        http_message_dispatch(m);
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t stream, uint32_t error, void *user)
{
    struct http_session *s = user;
    struct http2 *h = s->protocol;
    struct http_message *m = message_of(ng, stream);

    if (!m)
        return 0;
    nghttp2_session_set_stream_user_data(ng, stream, NULL);
    if (h->receiving == m)
        h->receiving = NULL;
    if (m->state == HTTP_REPLIED) {
        h->replies -= !m->is_sent;
        h->progress_us = s->host->mono_us(s->host->ctx);
        if (error != NGHTTP2_NO_ERROR && !m->is_sent)
            count_reset(s);
        else
            h->completed++;
        http_message_free(m);
        return 0;
    }
    count_reset(s);
    http_message_abandon(m);
    return 0;
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *user)
{
    (void)ng;
    (void)frame;
    (void)error;
    count_reset(user);
    return 0;
}

static ssize_t read_body(nghttp2_session *ng, int32_t stream, uint8_t *out, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    struct http_message *m = source->ptr;
    struct http_session *s = user;
    struct http2 *h = s->protocol;
    size_t left = m->reply_body.len - m->reply_sent, len = left < room ? left : room;

    if (len)
        memcpy(out, m->reply_body.ptr + m->reply_sent, len);
    m->reply_sent += len;
    h->progress_us = s->host->mono_us(s->host->ctx);
    if (len < left)
        return (ssize_t)len;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (m->trailer_count) {
        nghttp2_nv *nv = arena_new(&m->req.arena, nghttp2_nv, m->trailer_count);

        for (size_t i = 0; i < m->trailer_count; i++)
            nv[i] = (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)m->trailers[i].name.ptr,
                                  .namelen = m->trailers[i].name.len,
                                  .value = (uint8_t *)(uintptr_t)m->trailers[i].value.ptr,
                                  .valuelen = m->trailers[i].value.len };
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(ng, stream, nv, m->trailer_count))
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return (ssize_t)len;
}

static ssize_t read_stream(nghttp2_session *ng, int32_t stream, uint8_t *out, size_t room, uint32_t *flags,
                           nghttp2_data_source *source, void *user)
{
    struct http_message *m = source->ptr;
    struct http_session *s = user;
    struct http2 *h = s->protocol;
    size_t len = m->stream_out.len < room ? m->stream_out.len : room;

    (void)ng;
    (void)stream;
    if (!len && m->state == HTTP_HANDLING)
        return NGHTTP2_ERR_DEFERRED; /* until there is more, or the end */
    if (len)
        memcpy(out, buf_slice(&m->stream_out).ptr, len);
    buf_take(&m->stream_out, len);
    h->progress_us = s->host->mono_us(s->host->ctx);
    if (m->state != HTTP_HANDLING && !m->stream_out.len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

enum { OWN_FIELDS = 3 };

static nghttp2_nv field(struct slice name, struct slice value)
{
    return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.ptr,
                         .namelen = name.len,
                         .value = (uint8_t *)(uintptr_t)value.ptr,
                         .valuelen = value.len,
                         .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE };
}

/* The digits of `n`, written so that they end before `end`. */
static struct slice decimal(char *end, size_t n)
{
    char *start = end;

    do
        *--start = (char)('0' + n % 10);
    while (n /= 10);
    return slice_of(start, (size_t)(end - start));
}

/* The fields are not copied: they live in the message until its stream is closed. `body` NULL: none. */
static void submit(struct http_session *s, struct http_message *m, const struct http_reply *reply,
                   bool has_length, nghttp2_data_provider *body)
{
    struct http2 *h = s->protocol;
    nghttp2_nv *nv = arena_new(&m->req.arena, nghttp2_nv, reply->header_count + OWN_FIELDS);
    size_t n = 0;

    m->status[0] = (char)('0' + reply->status / 100);
    m->status[1] = (char)('0' + reply->status / 10 % 10);
    m->status[2] = (char)('0' + reply->status % 10);
    nv[n++] = field(SLICE(":status"), slice_of(m->status, sizeof m->status));
    if (reply->type)
        nv[n++] = field(SLICE("content-type"), reply->is_lasting
                                                   ? slice_str(reply->type)
                                                   : arena_slice(&m->req.arena, slice_str(reply->type)));
    if (has_length)
        nv[n++] = field(SLICE("content-length"), decimal(m->length + sizeof m->length, m->reply_body.len));
    for (size_t i = 0; i < reply->header_count; i++)
        nv[n++] = field(reply->headers[i].name, reply->headers[i].value);
    if (nghttp2_submit_response(h->ng, m->stream, nv, n, body))
        nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, m->stream, NGHTTP2_INTERNAL_ERROR);
}

static void count_reply(struct http_session *s)
{
    struct http2 *h = s->protocol;

    if (!h->replies++)
        h->progress_us = s->host->mono_us(s->host->ctx);
}

static void h2_reply(struct http_session *s, struct http_message *m, const struct http_reply *reply)
{
    bool has_no_body = reply->status == 204 || reply->status == 304 || slice_eq_str(m->req.method, "HEAD");
    bool has_data = (m->reply_body.len && !has_no_body) || m->trailer_count;
    bool has_length = !m->trailer_count && reply->status != 204 && reply->status != 304;
    nghttp2_data_provider body = { .source.ptr = m, .read_callback = read_body };

    count_reply(s);
    submit(s, m, reply, has_length, has_data ? &body : NULL);
    if (has_no_body)
        m->reply_body.len = 0;
}

static void h2_stream_begin(struct http_session *s, struct http_message *m, const struct http_reply *reply)
{
    nghttp2_data_provider body = { .source.ptr = m, .read_callback = read_stream };

    submit(s, m, reply, false, &body);
}

static size_t h2_stream_waiting(const struct http_session *s, const struct http_message *m)
{
    (void)s;
    return m->stream_out.len;
}

static void h2_stream_write(struct http_session *s, struct http_message *m, struct slice bytes)
{
    struct http2 *h = s->protocol;

    buf_add_slice(&m->stream_out, bytes);
    nghttp2_session_resume_data(h->ng, m->stream);
}

static void h2_stream_end(struct http_session *s, struct http_message *m)
{
    struct http2 *h = s->protocol;

    count_reply(s);
    nghttp2_session_resume_data(h->ng, m->stream);
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http_session *s = user;
    struct http2 *h = s->protocol;
    struct http_message *m;

    h->has_reset = h->has_reset || frame->hd.type == NGHTTP2_RST_STREAM;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    h->sent++;
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    m = message_of(ng, frame->hd.stream_id);
    if (m && m->state == HTTP_REPLIED && !m->is_sent) {
        m->is_sent = true;
        h->replies--;
    }
    return 0;
}

static bool h2_is_over(const struct http_session *s)
{
    const struct http2 *h = s->protocol;

    return h->is_over || (!nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng)) ||
           (h->sent_last_goaway && !s->open && !nghttp2_session_want_write(h->ng));
}

static bool feed(struct http2 *h, const char *bytes, size_t len)
{
    if (len && !h->is_over && nghttp2_session_mem_recv(h->ng, (const uint8_t *)bytes, len) < 0)
        h->is_over = true; /* a flood that nghttp2 itself has seen, or no HTTP/2 at all */
    return !h->is_over;
}

/* What nghttp2 passes over without a word; all that came before was fed to it. */
static void look_at_frame(struct http_session *s, const struct frame_head *f)
{
    struct http2 *h = s->protocol;
    bool is_of_request = f->type == NGHTTP2_HEADERS || f->type == NGHTTP2_DATA;

    /* Of a stream that is over, unless we reset one: what the peer sent before it knew may still come. 5.1 */
    if (is_of_request && f->stream % 2 && f->stream <= h->last_stream && !h->has_reset &&
        !nghttp2_session_find_stream(h->ng, f->stream))
        nghttp2_session_terminate_session(h->ng, NGHTTP2_STREAM_CLOSED);
    if (f->type == NGHTTP2_PRIORITY && !f->stream) /* 6.3 */
        nghttp2_session_terminate_session(h->ng, NGHTTP2_PROTOCOL_ERROR);
    if (f->type == NGHTTP2_HEADERS ||
        (f->type == NGHTTP2_DATA && (f->flags & NGHTTP2_FLAG_END_STREAM || f->len >= TINY_DATA_BYTES)))
        return;
    count_control(s);
}

/* Walks over the frames and looks at the head of each before nghttp2 gets it, as many as the turn lets it. How
 * many bytes that were. */
static size_t walk(struct http_session *s, const char *bytes, size_t len)
{
    struct http2 *h = s->protocol;
    size_t at = 0, fed = 0;

    while (at < len && !h->is_over) {
        size_t n = len - at;
        struct frame_head f;

        if (!s->steps_left && !h->frame_left && !h->head_bytes)
            break; /* between two frames */

        if (h->frame_left) {
            n = n < h->frame_left ? n : h->frame_left;
            h->frame_left -= n;
            at += n;
            continue;
        }
        n = n < FRAME_HEAD_BYTES - h->head_bytes ? n : FRAME_HEAD_BYTES - h->head_bytes;
        memcpy(h->head + h->head_bytes, bytes + at, n);
        h->head_bytes += n;
        at += n;
        if (h->head_bytes < FRAME_HEAD_BYTES)
            break;
        f = frame_head_of(h->head);
        h->head_bytes = 0;
        h->frame_left = f.len;
        http_session_step(s, 1);
        if (f.type != NGHTTP2_HEADERS || f.stream <= h->newest_stream) {
            feed(h, bytes + fed, at - n - fed);
            fed = at - n;
            look_at_frame(s, &f);
        } else {
            h->newest_stream = f.stream;
        }
    }
    feed(h, bytes + fed, at - fed);
    return at;
}

static bool is_choked(const struct http2 *h)
{
    return nghttp2_session_get_outbound_queue_size(h->ng) >= OUTBOUND_MAX;
}

/* Answers that wait are memory too, also those that no request has asked for. */
static void count_kept(struct http_session *s)
{
    struct http2 *h = s->protocol;

    http_session_keeps(s, h->waiting.len +
                              nghttp2_session_get_outbound_queue_size(h->ng) * OUTBOUND_FRAME_BYTES);
}

static bool h2_go_on(struct http_session *s)
{
    struct http2 *h = s->protocol;

    if (h->waiting.len && !h->is_over && !is_choked(h))
        buf_take(&h->waiting, walk(s, buf_slice(&h->waiting).ptr, h->waiting.len));
    if (!h->waiting.len)
        buf_release(&h->waiting);
    count_kept(s);
    return !h2_is_over(s);
}

static bool h2_can_go_on(const struct http_session *s)
{
    const struct http2 *h = s->protocol;

    return h->waiting.len && !h->is_over && !is_choked(h);
}

static bool h2_recv(struct http_session *s, const char *bytes, size_t len)
{
    struct http2 *h = s->protocol;
    size_t taken;

    if (h->waiting.len) {
        buf_add(&h->waiting, bytes, len);
        return h2_go_on(s);
    }
    taken = walk(s, bytes, len);
    if (taken < len && !h->is_over)
        buf_add(&h->waiting, bytes + taken, len - taken);
    count_kept(s);
    return !h2_is_over(s);
}

static void h2_end(struct http_session *s)
{
    struct http2 *h = s->protocol;

    h->is_over = true;
}

static bool h2_wants_input(const struct http_session *s)
{
    const struct http2 *h = s->protocol;

    return !h->is_over && nghttp2_session_want_read(h->ng) && !is_choked(h);
}

static void h2_send(struct http_session *s, struct buf *out, size_t enough)
{
    struct http2 *h = s->protocol;
    const uint8_t *bytes;
    ssize_t len;

    while (out->len < enough) {
        len = nghttp2_session_mem_send(h->ng, &bytes);
        if (len < 0)
            h->is_over = true;
        if (len <= 0)
            break;
        buf_add(out, bytes, (size_t)len);
    }
    count_kept(s);
}

static void last_goaway(struct http2 *h)
{
    h->sent_last_goaway = true;
    nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->ng),
                          NGHTTP2_NO_ERROR, NULL, 0);
}

static void h2_tick(struct http_session *s, int64_t now_us)
{
    const struct http_host *host = s->host;
    int64_t head_us = http_host_patience(host, host->limits.header_timeout_us);
    int64_t body_us = http_host_patience(host, host->limits.body_timeout_us);
    int64_t write_us = http_host_patience(host, host->limits.write_timeout_us);
    struct http2 *h = s->protocol;
    struct http_message *m = s->open, *next;

    if (s->is_draining && !h->sent_last_goaway && now_us - h->drain_us >= LAST_GOAWAY_AFTER_US)
        last_goaway(h);
    if (!s->open && now_us - s->idle_since_us >= http_host_patience(host, host->limits.idle_timeout_us))
        http_session_drain(s); /* in two steps: a request that is on its way just now is not lost */
    if (h->replies && now_us - h->progress_us >= write_us)
        h->is_over = true;
    for (; m; m = next) { /* oldest first */
        next = m->next;
        if (m->state == HTTP_REPLIED && m->is_sent && now_us - m->head_complete_us >= body_us)
            stop_sending(h->ng, m);
        if (m->state == HTTP_REPLIED && !m->is_sent && now_us - m->replied_us >= REPLY_PATIENCE * write_us)
            h->is_over = true; /* taken byte by byte */
        if (m->state != HTTP_RECEIVING)
            continue;
        if (!m->is_head_complete && now_us - m->req.arrived_mono_us >= head_us) {
            calm_down(s, "slow_headers"); /* the table of all streams waits for this one */
            break;
        }
        if (m->is_head_complete && now_us - m->head_complete_us >= body_us) {
            m->refusal = 408;
            http_message_dispatch(m);
        }
    }
    s->on_output(s->ctx);
}

static void h2_drain(struct http_session *s)
{
    struct http2 *h = s->protocol;

    h->drain_us = s->host->mono_us(s->host->ctx);
    nghttp2_submit_shutdown_notice(h->ng);
}

static void h2_free(struct http_session *s)
{
    struct http2 *h = s->protocol;

    nghttp2_session_del(h->ng);
    buf_release(&h->waiting);
    mem_free(h);
}

const struct http_protocol_ops http2_ops = {
    .free = h2_free,
    .recv = h2_recv,
    .go_on = h2_go_on,
    .can_go_on = h2_can_go_on,
    .end = h2_end,
    .wants_input = h2_wants_input,
    .send = h2_send,
    .is_over = h2_is_over,
    .tick = h2_tick,
    .drain = h2_drain,
    .reply = h2_reply,
    .stream_begin = h2_stream_begin,
    .stream_waiting = h2_stream_waiting,
    .stream_write = h2_stream_write,
    .stream_end = h2_stream_end,
};

void http2_start(struct http_session *s)
{
    struct http2 *h = mem_new(struct http2);
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_mem memory = h2_memory(&s->host->pieces);
    const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)s->host->limits.max_streams },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)s->host->limits.max_header_bytes },
        { NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
    };

    if (nghttp2_session_callbacks_new(&callbacks) || nghttp2_option_new(&option))
        mem_alloc(SIZE_MAX, SIZE_MAX); /* ends the process */
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_outbound_ack(option, ACKS_MAX);
    nghttp2_option_set_max_continuations(option, CONTINUATIONS_MAX);
    if (nghttp2_session_server_new3(&h->ng, callbacks, s, option, &memory) ||
        nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) ||
        nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW_BYTES))
        mem_alloc(SIZE_MAX, SIZE_MAX);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    buf_init(&h->waiting, 0);
    h->second_us = s->began_us;
    h->frame_left = PREFACE_BYTES;
    s->ops = &http2_ops;
    s->protocol = h;
    s->peer.version = 2;
}
