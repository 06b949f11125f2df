/* SPDX-License-Identifier: Apache-2.0 */
#include "http/client_session.h"

#include <assert.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/mem.h"
#include "http/h2_memory.h"

enum {
    STREAM_WINDOW = 1 << 20,
    CONNECTION_WINDOW = 16 << 20,
    ANSWER_FIELDS_MOST = 256,
    ANSWER_FIELD_BYTES_MOST = 64 << 10,
    REQUEST_PSEUDO_FIELDS = 4,
    REQUEST_FIELDS_ON_STACK = 32,
};

struct client_session {
    nghttp2_session *h2;
    struct pieces pieces; /* its memory */
    struct client_session_conf conf;
    struct call_list calls;
    struct call_list *ended, *safe;
};

/* ---- lists ---- */

void call_list_add(struct call_list *l, struct http_call *c)
{
    assert(!c->list);
    c->list = l;
    c->next = NULL;
    c->prev = l->last;
    *(l->last ? &l->last->next : &l->first) = c;
    l->last = c;
    l->count++;
}

void call_list_add_first(struct call_list *l, struct http_call *c)
{
    assert(!c->list);
    c->list = l;
    c->prev = NULL;
    c->next = l->first;
    *(l->first ? &l->first->prev : &l->last) = c;
    l->first = c;
    l->count++;
}

void call_list_remove(struct http_call *c)
{
    struct call_list *l = c->list;

    if (!l)
        return;
    *(c->prev ? &c->prev->next : &l->first) = c->next;
    *(c->next ? &c->next->prev : &l->last) = c->prev;
    l->count--;
    c->list = NULL;
    c->prev = c->next = NULL;
}

/* ---- how a call ends ---- */

static void end(struct http_call *c, struct call_list *l)
{
    struct client_session *s = c->session;

    nghttp2_session_set_stream_user_data(s->h2, c->stream_id, NULL);
    c->session = NULL;
    call_list_remove(c);
    call_list_add(l, c);
}

/* The answer is of no use: resets the stream and ends the call now. */
static void refuse_answer(struct http_call *c, const char *what, size_t most)
{
    struct client_session *s = c->session;

    c->err = err_set(&c->why, ERR_TOO_LARGE, "the answer's %s passes %zu bytes", what, most);
    nghttp2_submit_rst_stream(s->h2, NGHTTP2_FLAG_NONE, c->stream_id, NGHTTP2_CANCEL);
    end(c, s->ended);
}

static struct http_call *call_of(nghttp2_session *h2, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(h2, stream_id);
}

/* ---- nghttp2's callbacks ---- */

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *arg)
{
    struct http_call *c = call_of(h2, frame->hd.stream_id);

    (void)arg;
    if (!c)
        return 0;
    if (c->status >= 200) {
        c->in_trailers = true;
        c->trailers_at = c->got_count;
    } else { /* the first head, or the one after a 1xx */
        c->status = 0;
        c->got_count = 0;
    }
    return 0;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
    struct http_call *c = call_of(h2, frame->hd.stream_id);
    struct slice n = slice_of(name, name_len), v = slice_of(value, value_len);
    int64_t status;

    (void)flags;
    (void)arg;
    if (!c)
        return 0;
    if (slice_eq(n, SLICE(":status"))) { /* nghttp2 has checked that it is three digits */
        c->status = slice_to_i64(v, &status) ? (int)status : 0;
        return 0;
    }
    c->got_bytes += name_len + value_len;
    if (c->got_count >= ANSWER_FIELDS_MOST || c->got_bytes > ANSWER_FIELD_BYTES_MOST) {
        refuse_answer(c, "header", ANSWER_FIELD_BYTES_MOST);
        return 0;
    }
    ARRAY_RESERVE_ONE(c->got, c->got_count, c->got_cap);
    c->got[c->got_count++] = (struct http_header){ arena_slice(&c->arena, n), arena_slice(&c->arena, v) };
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t len,
                   void *arg)
{
    struct http_call *c = call_of(h2, stream_id);

    (void)flags;
    (void)arg;
    if (c && !buf_add(&c->answer, data, len))
        refuse_answer(c, "body", c->answer.cap);
    return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *arg)
{
    struct http_call *c;

    (void)arg;
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    c = call_of(h2, frame->hd.stream_id);
    if (c && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && c->status >= 200)
        c->is_answered = true;
    return 0;
}

static int on_frame_sent(nghttp2_session *h2, const nghttp2_frame *frame, void *arg)
{
    struct http_call *c;

    (void)arg;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    c = call_of(h2, frame->hd.stream_id);
    if (c)
        c->has_left = true;
    return 0;
}

static int on_stream_close(nghttp2_session *h2, int32_t stream_id, uint32_t code, void *arg)
{
    struct client_session *s = arg;
    struct http_call *c = call_of(h2, stream_id);

    if (!c)
        return 0;
    if (c->is_answered) {
        c->err = ERR_OK;
        end(c, s->ended);
    } else if (!c->has_left || code == NGHTTP2_REFUSED_STREAM) {
        c->err = err_set(&c->why, ERR_UNAVAILABLE, "the peer does not take requests on this connection");
        end(c, s->safe);
    } else {
        c->err = err_set(&c->why, ERR_UNKNOWN, "the peer ended the stream without an answer (%s)",
                         nghttp2_http2_strerror(code));
        end(c, s->ended);
    }
    return 0;
}

static ssize_t on_read_body(nghttp2_session *h2, int32_t stream_id, uint8_t *to, size_t room, uint32_t *flags,
                            nghttp2_data_source *source, void *arg)
{
    struct http_call *c = call_of(h2, stream_id);
    size_t len;

    (void)source;
    (void)arg;
    if (!c)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* dropped meanwhile */
    len = c->body.len - c->body_sent;
    if (len > room)
        len = room;
    memcpy(to, c->body.ptr + c->body_sent, len);
    c->body_sent += len;
    if (c->body_sent == c->body.len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

/* ---- the session ---- */

struct client_session *client_session_new(const struct client_session_conf *conf, struct call_list *ended,
                                          struct call_list *safe)
{
    static const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, ANSWER_FIELD_BYTES_MOST },
    };
    struct client_session *s = mem_new(struct client_session);
    nghttp2_mem memory = h2_memory(&s->pieces);
    nghttp2_session_callbacks *callbacks;
    int failed;

    s->conf = *conf;
    s->ended = ended;
    s->safe = safe;
    failed = nghttp2_session_callbacks_new(&callbacks);
    assert(!failed); /* only for want of memory, as below */
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    failed = nghttp2_session_client_new3(&s->h2, callbacks, s, NULL, &memory);
    assert(!failed);
    nghttp2_session_callbacks_del(callbacks);
    failed = nghttp2_submit_settings(s->h2, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) ||
             nghttp2_session_set_local_window_size(s->h2, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
    assert(!failed);
    (void)failed;
    return s;
}

void client_session_free(struct client_session *s)
{
    if (!s)
        return;
    client_session_lost(s, "the connection was closed");
    nghttp2_session_del(s->h2);
    pieces_release(&s->pieces);
    mem_free(s);
}

bool client_session_is_draining(const struct client_session *s)
{
    /* GOAWAY, or the numbers of streams are used up */
    return !nghttp2_session_check_request_allowed(s->h2);
}

size_t client_session_calls(const struct client_session *s)
{
    return s->calls.count;
}

size_t client_session_room(const struct client_session *s)
{
    size_t most = nghttp2_session_get_remote_settings(s->h2, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

    if (client_session_is_draining(s))
        return 0;
    if (most > s->conf.streams_most)
        most = s->conf.streams_most;
    return most > s->calls.count ? most - s->calls.count : 0;
}

bool client_session_is_over(const struct client_session *s)
{
    return !nghttp2_session_want_read(s->h2) && !nghttp2_session_want_write(s->h2);
}

static nghttp2_nv nv(struct slice name, struct slice value)
{
    return (nghttp2_nv){ (uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr, name.len, value.len,
                         NGHTTP2_NV_FLAG_NONE };
}

void client_session_submit(struct client_session *s, struct http_call *call)
{
    nghttp2_nv on_stack[REQUEST_PSEUDO_FIELDS + REQUEST_FIELDS_ON_STACK], *fields = on_stack;
    nghttp2_data_provider body = { .read_callback = on_read_body };
    size_t n = 0;

    if (call->field_count > REQUEST_FIELDS_ON_STACK)
        fields = arena_new(&call->arena, nghttp2_nv, REQUEST_PSEUDO_FIELDS + call->field_count);
    fields[n++] = nv(SLICE(":method"), slice_str(call->method));
    fields[n++] = nv(SLICE(":scheme"), slice_str(s->conf.scheme));
    fields[n++] = nv(SLICE(":authority"), slice_str(s->conf.authority));
    fields[n++] = nv(SLICE(":path"), call->path);
    for (size_t i = 0; i < call->field_count; i++)
        fields[n++] = nv(call->fields[i].name, call->fields[i].value);

    call->body_sent = 0;
    call->has_left = call->is_answered = call->in_trailers = false;
    call->status = 0;
    call->got_count = call->got_bytes = 0;
    buf_clear(&call->answer);
    call->answer.cap = s->conf.body_most;
    call->session = s;
    call_list_add(&s->calls, call);
    call->stream_id = nghttp2_submit_request(s->h2, NULL, fields, n, call->body.len ? &body : NULL, call);
    if (call->stream_id < 0) { /* the numbers are used up, or the caller's fields are no HTTP */
        call->err = err_set(&call->why, ERR_UNAVAILABLE, "%s", nghttp2_strerror(call->stream_id));
        call->session = NULL;
        call_list_remove(call);
        call_list_add(s->ended, call);
    }
}

void client_session_drop(struct http_call *call)
{
    struct client_session *s = call->session;

    nghttp2_session_set_stream_user_data(s->h2, call->stream_id, NULL);
    nghttp2_submit_rst_stream(s->h2, NGHTTP2_FLAG_NONE, call->stream_id, NGHTTP2_CANCEL);
    call->session = NULL;
    call_list_remove(call);
}

enum err client_session_receive(struct client_session *s, const char *bytes, size_t len, struct why *why)
{
    ssize_t n = nghttp2_session_mem_recv(s->h2, (const uint8_t *)bytes, len);

    if (n < 0)
        return err_set(why, ERR_INVALID, "the peer broke the protocol: %s", nghttp2_strerror((int)n));
    return ERR_OK;
}

enum err client_session_send(struct client_session *s, struct buf *out, size_t enough, struct why *why)
{
    while (out->len < enough) {
        const uint8_t *bytes;
        ssize_t n = nghttp2_session_mem_send(s->h2, &bytes);

        if (n < 0)
            return err_set(why, ERR_INTERNAL, "nothing can be sent: %s", nghttp2_strerror((int)n));
        if (n == 0)
            break;
        buf_add(out, bytes, (size_t)n);
    }
    return ERR_OK;
}

void client_session_lost(struct client_session *s, const char *reason)
{
    while (s->calls.first) {
        struct http_call *c = s->calls.first;

        if (c->is_answered) {
            c->err = ERR_OK;
            end(c, s->ended);
        } else if (!c->has_left) {
            c->err = err_set(&c->why, ERR_UNAVAILABLE, "%s before the request left", reason);
            end(c, s->safe);
        } else {
            c->err = err_set(&c->why, ERR_UNKNOWN, "%s before an answer came", reason);
            end(c, s->ended);
        }
    }
}
