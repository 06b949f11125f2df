/* SPDX-License-Identifier: Apache-2.0
 * oip_fuzz.c - any body as an inference request of the Open Inference Protocol: scored or refused, and the
 * answer is JSON. The first byte chooses the route.
 *
 * This file takes the place of services/scoring/registry.c and of the database that a model is read from:
 * there is one model, of two columns. */
#include <stdio.h>
#include <stdlib.h>

#include "../../services/scoring/oip.h"
#include "../../services/scoring/registry.h"
#include "app/must.h"
#include "base/array.h"
#include "base/hash.h"
#include "fuzz/exchange.h"
#include "json/json.h"
#include "log/log.h"
#include "modelstore/modelstore.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct http_host host;
static struct model *model;

/* What bundle_fuzz has, with the digest that a bundle ends in. */
enum err model_read(struct pg_session *s, int64_t version, const struct trusted_keys *keys, struct buf *out,
                    struct why *why)
{
    static const char path[] = "tests/fuzz/corpus/bundle/small";
    unsigned char digest[SHA256_BYTES];
    FILE *file = fopen(path, "rb");
    char bytes[65536];

    (void)s;
    (void)version;
    (void)keys;
    if (!file)
        return err_set(why, ERR_NOT_FOUND, "no %s", path);
    buf_add(out, bytes, fread(bytes, 1, sizeof bytes, file));
    fclose(file);
    sha256(buf_slice(out), digest);
    buf_add(out, digest, sizeof digest);
    return ERR_OK;
}

struct model *registry_find(const struct registry *r, struct slice name, const char *alias)
{
    (void)r;
    (void)alias;
    return slice_eq_str(name, "m") ? model : NULL;
}

struct model *registry_version(const struct registry *r, struct slice name, struct slice version)
{
    return slice_eq_str(version, "1") ? registry_find(r, name, NULL) : NULL;
}

size_t registry_versions(const struct registry *r, struct slice name, struct model **out, size_t most)
{
    (void)name;
    (void)most;
    *out = registry_find(r, SLICE("m"), NULL);
    return 1;
}

static bool is_ready(void *arg)
{
    (void)arg;
    return true;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static struct oip oip = { .is_ready = is_ready };
    struct why why = { 0 };

    (void)argc;
    (void)argv;
    log_open("fuzz", LOG_ERROR);
    must(model_load(&model, NULL, 1, NULL, &why), "open the model", &why);
    http_host_init(&host, &(struct http_server_conf){ 0 });
    host.refuse = oip_refuse;
    for (size_t i = 0; i < oip_route_count; i++)
        http_router_add(&host.router, &oip_routes[i], &oip);
    return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const char *const heads[] = {
        "POST /v2/models/m/infer HTTP/1.1\r\n",
        "POST /v2/models/m/versions/1/infer HTTP/1.1\r\n",
        "GET /v2/models/m HTTP/1.1\r\n",
        "GET /v2/models/n HTTP/1.1\r\n",
    };
    struct slice body, answer;
    struct buf out;
    struct why why;
    json_t *tree;
    const char *blank;

    if (!size)
        return 0;
    body = slice_of(data + 1, size - 1);
    buf_init(&out, 0);
    exchange(&host, slice_str(heads[data[0] % ARRAY_LEN(heads)]), body, &out, NULL);
    blank = memmem(buf_slice(&out).ptr, out.len, "\r\n\r\n", 4);
    if (!blank)
        abort();
    answer = slice_of(blank + 4, out.len - (size_t)(blank + 4 - buf_slice(&out).ptr));
    if (json_parse(&tree, answer, JSON_DEPTH_MAX, &why) != ERR_OK)
        abort();
    json_decref(tree);
    buf_release(&out);
    return 0;
}
