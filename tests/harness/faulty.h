/* SPDX-License-Identifier: Apache-2.0
 * faulty.h - reads tests/data/faulty_transactions.txt: each line a request, its status and its pointers. */
#ifndef ASSAY_TESTS_HARNESS_FAULTY_H
#define ASSAY_TESTS_HARNESS_FAULTY_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define FAULTY_FILE "tests/data/faulty_transactions.txt"

struct faulty {
    FILE *file;
    int line;
    int status;
    char pointers[1024]; /* comma-separated; empty when there are none */
    char body[4096];     /* may hold any byte */
    size_t body_len;
};

/* Copies, with @-91d@ replaced by the time that is so long from now. */
static inline void faulty_expand(const char *from, char *to, int64_t now_us)
{
    for (; *from; from++) {
        char *end;
        int64_t by;

        if (*from != '@' || (from[1] != '+' && from[1] != '-')) {
            *to++ = *from;
            continue;
        }
        by = strtoll(from + 1, &end, 10) * (*end == 'd' ? DAY_US : MINUTE_US);
        rfc3339_format(now_us + by, to);
        to += strlen(to);
        from = end + 1; /* on the closing '@' */
    }
    *to = '\0';
}

static inline void faulty_overlay(struct faulty *f, const char *members, int64_t now_us)
{
    static int serial;
    char at[RFC3339_SIZE], id[32], *text;
    json_t *base, *over = json_loads(members, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL), *value;
    const char *name;

    if (!over) {
        fprintf(stderr, "%s:%d: not an object\n", FAULTY_FILE, f->line);
        abort();
    }
    rfc3339_format(now_us - MINUTE_US, at);
    snprintf(id, sizeof id, "faulty-%d", ++serial);
    base =
        json_pack("{sssssisssssss{ss}}", "transaction_id", id, "occurred_at", at, "amount", 1999, "currency",
                  "USD", "customer_id", "c-1", "merchant_id", "m-1", "attributes", "basket", "toys");
    json_object_foreach(over, name, value)
    {
        if (json_is_string(value) && strcmp(json_string_value(value), "$absent") == 0)
            json_object_del(base, name);
        else
            json_object_set(base, name, value);
    }
    text = json_dumps(base, JSON_COMPACT | JSON_ENCODE_ANY);
    f->body_len = strlen(text);
    memcpy(f->body, text, f->body_len + 1);
    free(text);
    json_decref(base);
    json_decref(over);
}

static inline void faulty_raw(struct faulty *f, const char *text)
{
    f->body_len = 0;
    while (*text) {
        unsigned byte;

        if (strncmp(text, "\\\\x", 3) == 0 && sscanf(text + 3, "%2x", &byte) == 1) {
            f->body[f->body_len++] = (char)byte;
            text += 5;
        } else {
            f->body[f->body_len++] = *text++;
        }
    }
    f->body[f->body_len] = '\0';
}

static inline int faulty_open(struct faulty *f)
{
    *f = (struct faulty){ .file = fopen(FAULTY_FILE, "r") };
    return f->file != NULL;
}

/* The next case; 0 (and the file closed) after the last. */
static inline int faulty_next(struct faulty *f, int64_t now_us)
{
    char line[4096], expanded[4096], *rest;

    while (fgets(line, sizeof line, f->file)) {
        f->line++;
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || line[0] == '\0')
            continue;
        if (sscanf(line, "%d %1023s", &f->status, f->pointers) != 2 || !(rest = strchr(line + 4, ' '))) {
            fprintf(stderr, "%s:%d: not a case\n", FAULTY_FILE, f->line);
            abort();
        }
        if (strcmp(f->pointers, "-") == 0)
            f->pointers[0] = '\0';
        faulty_expand(rest + 1, expanded, now_us);
        if (expanded[0] == '!')
            faulty_raw(f, expanded + 1);
        else
            faulty_overlay(f, expanded, now_us);
        return 1;
    }
    fclose(f->file);
    return 0;
}

#endif
