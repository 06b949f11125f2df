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

void faults_add(struct faults *f, const struct json_path *at, const char *format, ...)
{
    char detail[256];
    struct buf pointer, shown;
    va_list args;

    if (f->count == FAULTS_MAX) {
        f->untold++;
        return;
    }
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    /* Names come from the request too: a card number can stand in one. */
    buf_init(&pointer, 0);
    buf_init(&shown, 0);
    json_path_write(&pointer, at);
    pan_redact(&shown, buf_slice(&pointer));
    if (f->count == f->cap) {
        struct fault *grown = arena_new(f->arena, struct fault, f->cap ? 2 * f->cap : 8);

        for (size_t i = 0; i < f->count; i++)
            grown[i] = f->items[i];
        f->items = grown;
        f->cap = f->cap ? 2 * f->cap : 8;
    }
    f->items[f->count++] = (struct fault){
        .detail = arena_slice(f->arena, slice_str(detail)),
        .pointer = arena_slice(f->arena, buf_slice(&shown)),
    };
    buf_release(&pointer);
    buf_release(&shown);
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
