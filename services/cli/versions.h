/* SPDX-License-Identifier: Apache-2.0
 * versions.h - what the commands that name a model's version have in common. */
#ifndef ASSAY_CLI_VERSIONS_H
#define ASSAY_CLI_VERSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "command.h"
#include "json/json_out.h"

struct pg_session;

/* An operand. False, with the complaint on standard error, when it is no version. */
bool version_read(const char *text, int64_t *version);
/* --expect: a version, "none", or NULL, which takes whatever is there (MODEL_ANY). */
bool version_read_expected(const char *text, int64_t *version);

/* Whether a champion is in effect: what every process that scores says of itself. */
struct in_effect {
    bool is_asked; /* nobody looks unless --wait was given */
    int64_t processes, with_version, took_us;
};
/* Waits until all serve `version` as champion of `name`, fifteen seconds at most.
 *   ERR_TIMEOUT  not all do; *why says how many do */
MUST_USE enum err in_effect_wait(struct pg_session *s, const char *name, int64_t version,
                                 struct in_effect *out, struct why *why);
void in_effect_print(const struct in_effect *e);
void in_effect_write(struct json_out *o, const struct in_effect *e);

#endif
