/* SPDX-License-Identifier: Apache-2.0
 * shipped.h - the files under models/ that come with the program: catalogues and mappings, by name or by
 * path. */
#ifndef ASSAY_CLI_SHIPPED_H
#define ASSAY_CLI_SHIPPED_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "featurestore/plan.h"

/* Reads `name` when it looks like a path (it has a '/' or ends in .yaml), else models/<folder><name>.yaml,
 * looked for in ASSAY_MODELS, ./models and beside the build. The text is in `arena`.
 *   ERR_NOT_FOUND  there is no such file; *why says where it was looked for */
MUST_USE enum err shipped_read(struct slice *text, const char *folder, const char *name, struct arena *arena,
                               struct why *why);
/* The plan of a catalogue under models/, or by path. On success *out is the caller's, for plan_free(); on failure it
 * is NULL. Errors are those of shipped_read(), catalogue_parse() and plan_build(). */
MUST_USE enum err shipped_plan(struct plan **out, const char *name, struct why *why);

#endif
