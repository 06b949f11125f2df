/* SPDX-License-Identifier: Apache-2.0
 * rules_file.h - a rule set, or payments to try one on, as JSON: from a file, from standard input ("-"), or one of those
 * that are shipped by its name. */
#ifndef ASSAY_CLI_RULES_FILE_H
#define ASSAY_CLI_RULES_FILE_H

#include "base/buf.h"
#include "base/err.h"

/* Initialises `json`, which holds at most `cap` bytes and is the caller's in any case.   Errors are those of file_read(),
 * shipped_read() and yaml_to_json(); *why names the file */
MUST_USE enum err yaml_file_read(struct buf *json, const char *file, size_t cap, struct why *why);
/* The same with the cap of a rule set. */
MUST_USE enum err rules_file_read(struct buf *json, const char *file, struct why *why);

#endif
