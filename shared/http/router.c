/* SPDX-License-Identifier: Apache-2.0 */
#include "http/router.h"

#include <assert.h>
#include <string.h>

#include "base/array.h"

/* Takes the next segment from the front of `path`, which starts with '/'. */
static struct slice next_segment(struct slice *path)
{
    const char *start = path->ptr + 1, *end = path->ptr + path->len;
    const char *slash = memchr(start, '/', (size_t)(end - start));
    struct slice segment = slice_of(start, (size_t)((slash ? slash : end) - start));

    path->ptr = segment.ptr + segment.len;
    path->len = (size_t)(end - path->ptr);
    return segment;
}

static struct http_segment segment_read(struct slice text)
{
    struct http_segment s = { .tail = text };
    const char *close;

    if (text.len && text.ptr[0] == '{') {
        close = memchr(text.ptr, '}', text.len);
        assert(close && close > text.ptr + 1);
        s.is_param = true;
        s.param = slice_of(text.ptr + 1, (size_t)(close - text.ptr - 1));
        s.tail = slice_of(close + 1, text.len - s.param.len - 2);
    }
    assert(!memchr(s.tail.ptr, '{', s.tail.len) && !memchr(s.tail.ptr, '}', s.tail.len));
    return s;
}

void http_router_release(struct http_router *r)
{
    mem_free(r->entries);
    *r = (struct http_router){ 0 };
}

void http_router_add(struct http_router *r, const struct http_route *route, void *service)
{
    struct slice path = slice_str(route->path);
    struct http_router_entry e = { .route = route, .service = service, .is_literal = true };
    size_t params = 0;

    assert(path.len && path.ptr[0] == '/' && route->handle);
    e.method = slice_str(route->method);
    for (size_t i = 0; i < r->count; i++)
        assert(strcmp(r->entries[i].route->path, route->path) != 0 ||
               !slice_eq(r->entries[i].method, e.method));
    while (path.len) {
        struct http_segment s = segment_read(next_segment(&path));

        assert(e.segment_count < HTTP_SEGMENTS_MAX);
        e.segments[e.segment_count++] = s;
        params += s.is_param;
        e.is_literal = e.is_literal && !s.is_param;
    }
    assert(params <= HTTP_PARAMS_MAX);
    ARRAY_RESERVE_ONE(r->entries, r->count, r->cap);
    r->entries[r->count++] = e;
}

/* How literal a match is, the first segment weighing most: two bits a segment. 0: no match. */
static uint32_t match(const struct http_router_entry *e, struct slice path, struct http_match *m)
{
    uint32_t weight = 1;

    m->param_count = 0;
    for (size_t i = 0; i < e->segment_count; i++) {
        const struct http_segment *want = &e->segments[i];
        struct slice have;

        if (!path.len)
            return 0;
        have = next_segment(&path);
        if (!want->is_param) {
            if (!slice_eq(have, want->tail))
                return 0;
            weight = weight << 2 | 2;
            continue;
        }
        if (have.len <= want->tail.len ||
            !slice_eq(slice_of(have.ptr + have.len - want->tail.len, want->tail.len), want->tail))
            return 0;
        m->params[m->param_count] = slice_of(have.ptr, have.len - want->tail.len);
        m->names[m->param_count++] = want->param;
        weight = weight << 2 | (want->tail.len ? 1 : 0);
    }
    return path.len ? 0 : weight;
}
static_assert(2 * HTTP_SEGMENTS_MAX + 1 <= 32, "a match's weight holds two bits a segment");

static bool method_fits(const struct http_router_entry *e, struct slice method)
{
    return slice_eq(e->method, method) || (slice_eq_str(method, "HEAD") && slice_eq_str(e->method, "GET"));
}

struct http_match http_router_find(const struct http_router *r, struct slice method, struct slice path)
{
    struct http_match best = { 0 };
    uint32_t best_weight = 0;

    if (!path.len || path.ptr[0] != '/')
        return best;
    for (size_t i = 0; i < r->count; i++) {
        const struct http_router_entry *e = &r->entries[i];

        if (e->is_literal && slice_eq_str(path, e->route->path) && method_fits(e, method))
            return (struct http_match){ .entry = e, .is_path_known = true };
    }
    for (size_t i = 0; i < r->count; i++) {
        const struct http_router_entry *e = &r->entries[i];
        struct http_match m = { 0 };
        uint32_t weight = match(e, path, &m);

        if (!weight)
            continue;
        best.is_path_known = true;
        if (weight > best_weight && method_fits(e, method)) {
            m.entry = e;
            m.is_path_known = true;
            best = m;
            best_weight = weight;
        }
    }
    return best;
}

void http_router_allowed(const struct http_router *r, struct slice path, struct buf *out)
{
    struct http_match m;

    for (size_t i = 0; i < r->count; i++) {
        if (!path.len || path.ptr[0] != '/' || !match(&r->entries[i], path, &m))
            continue;
        buf_printf(out, "%s%s", out->len ? ", " : "", r->entries[i].route->method);
        if (slice_eq_str(r->entries[i].method, "GET"))
            buf_add_str(out, ", HEAD");
    }
}
