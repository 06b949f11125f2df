/* SPDX-License-Identifier: Apache-2.0
 * conf.h - settings from the environment, read once at start into a struct, by a table that doubles as the
 * manual.
 *
 *   static const struct conf_field settings[] = {
 *       { "INGESTION_PORT", CONF_INT, offsetof(struct settings, port), "8080", "port of the public API" },
 *   };
 *
 * A setting whose name ends in _FILE in the environment (INGESTION_SECRET_FILE for INGESTION_SECRET) is read
 * from that file, without its last newline: so secrets need not stand in the environment. */
#ifndef ASSAY_CONF_CONF_H
#define ASSAY_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum conf_kind {
    CONF_INT,         /* int64_t, decimal */
    CONF_BOOL,        /* bool: true/false, 1/0, yes/no, on/off */
    CONF_TEXT,        /* const char *, never NULL */
    CONF_DURATION_MS, /* int64_t milliseconds: "250ms", "5s", "10m", "24h", "90d"; a bare number is
                         milliseconds */
};

struct conf_field {
    const char *name; /* in the environment, without the prefix "ASSAY_" */
    enum conf_kind kind;
    size_t offset;
    const char *fallback; /* NULL: must be given */
    const char *help;     /* one line, for --help and the README */
    int64_t least, most;  /* bounds for CONF_INT and CONF_DURATION_MS; both 0 means none */
};

/* Fills `settings` from ASSAY_<name> of the environment, or the fallback. Texts stay valid until the process
 * ends. ERR_INVALID  a value cannot be read, is out of bounds or is missing; *why names the variable and its
 * value */
MUST_USE enum err conf_load(void *settings, const struct conf_field *fields, size_t count, struct why *why);

/* Writes the table as a person reads it: name, default, help. For --help. */
void conf_print(FILE *out, const struct conf_field *fields, size_t count);

#endif
