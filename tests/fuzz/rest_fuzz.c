/* SPDX-License-Identifier: Apache-2.0
 * rest_fuzz.c - the public API up to PostgreSQL, which is away: every request is answered, and no answer of a
 * refusal repeats a card number. The first byte chooses the route; then fields as lines, an empty line, and
 * the body.
 *
 * This file takes the place of services/ingestion/keys.c: the key is there and may do everything. */
#include <sodium.h>
#include <stdlib.h>

#include "../../services/ingestion/ingestion.h"
#include "../../services/ingestion/keys.h"
#include "app/must.h"
#include "app/service.h"
#include "base/array.h"
#include "fraud/pan.h"
#include "fuzz/exchange.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct ingestion in;

/* ---- the key */

struct keys *keys_new(struct ingestion *ingestion)
{
    (void)ingestion;
    return NULL;
}
void keys_free(struct keys *k)
{
    (void)k;
}
void keys_read(struct keys *k)
{
    (void)k;
}
bool keys_are_known(const struct keys *k)
{
    (void)k;
    return true;
}
enum err keys_find(struct keys *k, struct slice authorization, int64_t now_us, bool has_waited,
                   struct caller **out)
{
    static struct caller caller;

    (void)k;
    (void)authorization;
    (void)now_us;
    (void)has_waited;
    caller = (struct caller){ .scopes = UINT32_MAX,
                              .expires_at_us = INT64_MAX,
                              .account = 1,
                              .deadline_floor_ms = 1,
                              .deadline_cap_ms = 1000 };
    *out = &caller;
    return ERR_OK;
}
void keys_wait(struct keys *k, struct keys_waiter *w)
{
    (void)k;
    (void)w;
}
unsigned scope_find(struct slice name)
{
    (void)name;
    return 0;
}

/* ---- the service */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const struct service_about about = { .name = "ingestion", .port = "0", .admin_port = "0" };
    static char *none[] = { NULL };
    struct why why = { 0 };

    (void)argc;
    (void)argv;
    setenv("ASSAY_LOG_LEVEL", "error", 1);
    in.app = service_open(0, none, &about, NULL);
    in.conf = (struct settings){ .pg_url = "host=/nonexistent",
                                 .features_addr = "127.0.0.1:1",
                                 .scoring_addr = "127.0.0.1:1",
                                 .rules_addr = "127.0.0.1:1",
                                 .base_currency = BASE_CURRENCY_DEFAULT,
                                 .fx_rates = FX_RATES_DEFAULT,
                                 .arm_salt = "assay",
                                 .pg_connections = 1,
                                 .jobs_most = 4096,
                                 .group_most = 256,
                                 .deadline_ms = 150,
                                 .idempotency_ms = 1000 };
    must(ingestion_open(&in, &why), "start", &why);
    must(ingestion_listen(&in, &why), "listen", &why);
    return 0;
}

static void turn(void)
{
    loop_turn(in.loop, false);
}

/* "Name: value\n" becomes a field; up to an empty line. */
static struct slice add_fields(struct buf *head, struct slice text)
{
    while (text.len) {
        const char *end = memchr(text.ptr, '\n', text.len);
        struct slice line = slice_of(text.ptr, end ? (size_t)(end - text.ptr) : text.len);

        text = slice_of(text.ptr + line.len + (end ? 1 : 0), text.len - line.len - (end ? 1 : 0));
        if (!line.len)
            break;
        buf_add_slice(head, line);
        buf_add_str(head, "\r\n");
    }
    return text;
}

/* The digits of %60 in a pointer are no part of what stands beside them. */
static void blank_escapes(struct buf *out)
{
    char *text = (char *)(uintptr_t)buf_slice(out).ptr;

    for (size_t i = 0; i + 2 < out->len; i++)
        if (text[i] == '%')
            text[i + 1] = text[i + 2] = '.';
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const char *const routes[] = {
        "POST /v1/transactions", "POST /v1/transactions:batch", "POST /v1/labels",
        "POST /v1/labels:batch", "GET /v1/transactions/%74",
    };
    struct buf head, out;
    struct slice body;

    if (!size || size > 65536)
        return 0;
    buf_init(&head, 0);
    buf_init(&out, 0);
    buf_printf(&head, "%s HTTP/1.1\r\n", routes[data[0] % ARRAY_LEN(routes)]);
    body = add_fields(&head, slice_of(data + 1, size - 1));
    exchange(http_server_host(service_http(in.app)), buf_slice(&head), body, &out, turn);
    if (!slice_starts_with(buf_slice(&out), SLICE("HTTP/1.1 ")))
        abort();
    blank_escapes(&out);
    if (pan_find(buf_slice(&out), NULL))
        abort();
    buf_release(&head);
    buf_release(&out);
    return 0;
}
