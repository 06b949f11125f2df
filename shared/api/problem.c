/* SPDX-License-Identifier: Apache-2.0 */
#include "api/problem.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/array.h"
#include "fraud/pan.h"

static const struct {
    int status;
    const char *title;
} titles[] = {
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 413, "Content Too Large" },
    { 415, "Unsupported Media Type" },
    { 422, "Unprocessable Content" },
    { 429, "Too Many Requests" },
    { 500, "Internal Server Error" },
    { 502, "Bad Gateway" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
};

const char *problem_title(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(titles); i++) {
        if (titles[i].status == status)
            return titles[i].title;
    }
    return "Error";
}

/* The path as it may be told: names come from the request too, and a card number can stand in one. It is
 * taken out before the name is escaped, for "4111%201111..." looks like none any more. */
static const struct json_path *telling(const struct json_path *path, struct arena *arena)
{
    struct json_path *told;
    struct buf name;

    if (!path)
        return NULL;
    told = arena_new(arena, struct json_path, 1);
    *told = *path;
    told->up = telling(path->up, arena);
    if (path->key) {
        buf_init(&name, 0);
        pan_redact(&name, slice_str(path->key));
        told->key = arena_strndup(arena, buf_str(&name), name.len);
        buf_release(&name);
    }
    return told;
}

size_t faults_most(size_t items)
{
    size_t share = FAULTS_BATCH_MAX / (items ? items : 1);

    return share < FAULTS_MAX ? share : FAULTS_MAX;
}

bool faults_are_many(const struct faults *f)
{
    return f->count >= (f->most ? f->most : FAULTS_MAX);
}

void faults_add(struct faults *f, const struct json_path *at, const char *format, ...)
{
    char detail[256];
    struct buf pointer;
    va_list args;

    if (faults_are_many(f)) {
        f->untold++;
        return;
    }
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    buf_init(&pointer, 0);
    json_path_write(&pointer, telling(at, f->arena));
    if (f->count == f->cap) {
        struct fault *grown = arena_new(f->arena, struct fault, f->cap ? 2 * f->cap : 8);

        for (size_t i = 0; i < f->count; i++)
            grown[i] = f->items[i];
        f->items = grown;
        f->cap = f->cap ? 2 * f->cap : 8;
    }
    f->items[f->count++] = (struct fault){
        .detail = arena_slice(f->arena, slice_str(detail)),
        .pointer = arena_slice(f->arena, buf_slice(&pointer)),
    };
    buf_release(&pointer);
}

void problem_write(struct json_out *o, const char *key, const struct problem *p)
{
    json_out_open(o, key);
    json_out_str(o, "type", p->type ? p->type : "about:blank");
    json_out_str(o, "title", p->title ? p->title : problem_title(p->status));
    json_out_int(o, "status", p->status);
    if (p->detail.len)
        json_out_text(o, "detail", p->detail);
    if (p->faults && p->faults->count) {
        json_out_list(o, "errors");
        for (size_t i = 0; i < p->faults->count; i++) {
            json_out_open(o, NULL);
            json_out_text(o, "detail", p->faults->items[i].detail);
            json_out_text(o, "pointer", p->faults->items[i].pointer);
            json_out_end(o);
        }
        json_out_end(o);
        if (p->faults->untold)
            json_out_int(o, "errors_untold", (int64_t)p->faults->untold);
    }
    json_out_end(o);
}
