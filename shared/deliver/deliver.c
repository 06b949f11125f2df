/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/deliver.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "deliver/address.h"
#include "loop/loop.h"

enum { RETRY_AFTER_MOST_S = 86400, CONNECT_TIMEOUT_SHARE = 2 };

struct deliver {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer timer; /* libcurl's own */
    struct deliver_conf conf;
    struct post *posts;
    size_t count;
};

/* One that is under way. */
struct post {
    struct deliver *deliver;
    CURL *easy;
    struct curl_slist *headers;
    struct buf body, answer;
    size_t answer_bytes;
    bool allow_private, is_barred;
    deliver_done_fn *done;
    void *ctx;
    struct post *next, **place;
};

/* What libcurl wants to know of one of its sockets. */
struct watched {
    struct event event;
    struct deliver *deliver;
};

/* ---- the end of one ---- */

static void post_free(struct post *p)
{
    *p->place = p->next;
    if (p->next)
        p->next->place = p->place;
    p->deliver->count--;
    curl_multi_remove_handle(p->deliver->multi, p->easy);
    curl_easy_cleanup(p->easy);
    curl_slist_free_all(p->headers);
    buf_release(&p->body);
    buf_release(&p->answer);
    mem_free(p);
}

static const char *trouble_of(const struct post *p, CURLcode result)
{
    if (p->is_barred)
        return "the name leads to an address that is not public";
    if (result == CURLE_WRITE_ERROR)
        return "the answer is too long";
    return curl_easy_strerror(result);
}

static void finish(struct post *p, CURLcode result)
{
    struct deliver_answer answer = { .body = buf_slice(&p->answer) };
    curl_off_t after = 0;
    long status = 0;

    if (result == CURLE_OK) {
        curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(p->easy, CURLINFO_RETRY_AFTER, &after);
        answer.status = (int)status;
        answer.retry_after_s = after < 0                    ? 0
                               : after > RETRY_AFTER_MOST_S ? RETRY_AFTER_MOST_S
                                                            : (int64_t)after;
    } else {
        answer.trouble = trouble_of(p, result);
    }
    p->done(p->ctx, &answer);
    post_free(p);
}

/* The message's memory goes with its handle: what is needed of it is read first. */
static void collect(struct deliver *d)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(d->multi, &left)) != NULL) {
        CURLcode result = message->data.result;
        struct post *p = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&p);
        finish(p, result);
    }
}

/* ---- between libcurl and the loop ---- */

static void on_socket_ready(evutil_socket_t fd, short what, void *ctx)
{
    struct watched *w = ctx;
    struct deliver *d = w->deliver;
    int flags = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0), running;

    curl_multi_socket_action(d->multi, fd, flags, &running); /* may free w */
    collect(d);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct deliver *d = ctx;
    struct watched *w = socket_ctx;
    short events = EV_PERSIST;

    (void)easy;
    if (w)
        event_del(&w->event);
    if (what == CURL_POLL_REMOVE) {
        mem_free(w);
        return 0;
    }
    if (!w) {
        w = mem_new(struct watched);
        w->deliver = d;
        curl_multi_assign(d->multi, fd, w);
    }
    events |= what & CURL_POLL_IN ? EV_READ : 0;
    events |= what & CURL_POLL_OUT ? EV_WRITE : 0;
    event_assign(&w->event, loop_base(d->loop), fd, events, on_socket_ready, w);
    event_add(&w->event, NULL);
    return 0;
}

static void on_time(void *ctx)
{
    struct deliver *d = ctx;
    int running;

    curl_multi_socket_action(d->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(d);
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct deliver *d = ctx;

    (void)multi;
    if (timeout_ms < 0)
        loop_timer_stop(&d->timer);
    else
        loop_timer_set(&d->timer, (int64_t)timeout_ms * 1000);
    return 0;
}

/* ---- one request ---- */

/* The last moment: the address is the one that is connected to. */
static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct post *p = ctx;

    (void)purpose;
    if (!p->allow_private && !address_is_public(&address->addr)) {
        p->is_barred = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_answer(char *bytes, size_t one, size_t len, void *ctx)
{
    struct post *p = ctx;
    size_t keeps = DELIVER_KEPT_MOST - p->answer.len;

    p->answer_bytes += len;
    if (p->answer_bytes > DELIVER_ANSWER_MOST)
        return 0;
    buf_add(&p->answer, bytes, len < keeps ? len : keeps);
    return one * len;
}

static void set_limits(struct post *p, const struct deliver_conf *conf, bool allow_http)
{
    CURL *c = p->easy;

    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, allow_http ? "https,http" : "https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
    /* A resolver that hangs is left to its thread: waiting for it would stop the loop. */
    curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
    /* Debian 12's libcurl fails at HTTP/2 in the clear, and there is nothing to gain from it here. */
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)conf->timeout_ms);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)conf->timeout_ms / CONNECT_TIMEOUT_SHARE);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (conf->ca && *conf->ca) {
        curl_easy_setopt(c, CURLOPT_CAINFO, conf->ca);
        curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
    }
}

static void set_request(struct post *p, const struct deliver_conf *conf,
                        const struct deliver_request *request)
{
    CURL *c = p->easy;

    for (size_t i = 0; i < request->header_count; i++)
        p->headers = curl_slist_append(p->headers, request->headers[i]);
    p->headers = curl_slist_append(p->headers, "Expect:"); /* no "100-continue" */
    buf_add_slice(&p->body, request->body);
    curl_easy_setopt(c, CURLOPT_URL, request->url);
    curl_easy_setopt(c, CURLOPT_USERAGENT, conf->user_agent);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, p->headers);
    curl_easy_setopt(c, CURLOPT_POST, 1L);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, buf_str(&p->body));
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, p);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, p);
    curl_easy_setopt(c, CURLOPT_PRIVATE, p);
}

enum err deliver_post(struct deliver *d, const struct deliver_request *request, deliver_done_fn *done,
                      void *ctx, struct why *why)
{
    enum err err = address_check_url(request->url, request->allow_http, request->allow_private, why);
    struct post *p;

    if (err)
        return err;
    if (d->count == DELIVER_MOST)
        return err_set(why, ERR_LIMIT, "%d messages are under way", DELIVER_MOST);
    p = mem_new(struct post);
    p->deliver = d;
    p->done = done;
    p->ctx = ctx;
    p->allow_private = request->allow_private;
    p->easy = curl_easy_init();
    p->place = &d->posts;
    p->next = d->posts;
    if (p->next)
        p->next->place = &p->next;
    d->posts = p;
    d->count++;
    set_limits(p, &d->conf, request->allow_http);
    set_request(p, &d->conf, request);
    curl_multi_add_handle(d->multi, p->easy);
    return ERR_OK;
}

enum err deliver_open(struct deliver **out, struct loop *loop, const struct deliver_conf *conf,
                      struct why *why)
{
    struct deliver *d = mem_new(struct deliver);

    *out = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) || !(d->multi = curl_multi_init())) {
        mem_free(d);
        return err_set(why, ERR_INTERNAL, "libcurl cannot be set up");
    }
    d->loop = loop;
    d->conf = *conf;
    loop_timer_init(&d->timer, loop, on_time, d);
    curl_multi_setopt(d->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(d->multi, CURLMOPT_SOCKETDATA, d);
    curl_multi_setopt(d->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(d->multi, CURLMOPT_TIMERDATA, d);
    *out = d;
    return ERR_OK;
}

void deliver_close(struct deliver *d)
{
    if (!d)
        return;
    while (d->posts)
        post_free(d->posts);
    curl_multi_cleanup(d->multi);
    loop_timer_release(&d->timer);
    curl_global_cleanup();
    mem_free(d);
}
