/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/resolver.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <stdio.h>

#include "base/mem.h"

struct resolver {
    struct loop *loop;
    struct evdns_base *dns; /* made when a name is first looked up */
    unsigned lookups;
};

struct lookup {
    struct resolver *resolver;
    struct evdns_getaddrinfo_request *request;
    resolved_fn *done;
    void *ctx;
    bool is_over;
};

struct resolver *resolver_new(struct loop *loop)
{
    struct resolver *r = mem_new(struct resolver);

    r->loop = loop;
    return r;
}

void resolver_free(struct resolver *r)
{
    if (r && r->dns)
        evdns_base_free(r->dns, 0);
    mem_free(r);
}

/* Called once for each request, also for one that was cancelled. */
static void on_answer(int failure, struct evutil_addrinfo *found, void *arg)
{
    struct lookup *l = arg;
    struct evutil_addrinfo *chosen = found;

    if (failure == EVUTIL_EAI_CANCEL) {
        mem_free(l);
        return;
    }
    for (unsigned i = found ? l->resolver->lookups++ : 0; i > 0; i--)
        chosen = chosen->ai_next ? chosen->ai_next : found;
    if (failure || !found)
        l->done(l->ctx, NULL, 0, failure ? evutil_gai_strerror(failure) : "the name has no address");
    else
        l->done(l->ctx, chosen->ai_addr, (socklen_t)chosen->ai_addrlen, NULL);
    if (found)
        evutil_freeaddrinfo(found);
    if (l->request)
        mem_free(l);
    else
        l->is_over = true; /* resolver_look_up() has not returned yet */
}

struct lookup *resolver_look_up(struct resolver *r, const char *host, uint16_t port, resolved_fn *done,
                                void *ctx)
{
    struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct lookup *l = mem_new(struct lookup);
    char service[8];

    if (!r->dns) {
        r->dns = evdns_base_new(loop_base(r->loop), EVDNS_BASE_DISABLE_WHEN_INACTIVE);
        if (r->dns) /* without the file only /etc/hosts is known */
            evdns_base_resolv_conf_parse(r->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf");
    }
    *l = (struct lookup){ .resolver = r, .done = done, .ctx = ctx };
    snprintf(service, sizeof service, "%u", port);
    l->request = evdns_getaddrinfo(r->dns, host, service, &hints, on_answer, l);
    if (!l->is_over)
        return l;
    mem_free(l);
    return NULL;
}

void lookup_cancel(struct lookup *l)
{
    if (l)
        evdns_getaddrinfo_cancel(l->request);
}
