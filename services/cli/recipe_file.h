/* SPDX-License-Identifier: Apache-2.0
 * recipe_file.h - the settings of a run, put together from what was typed. */
#ifndef ASSAY_CLI_RECIPE_FILE_H
#define ASSAY_CLI_RECIPE_FILE_H

#include "base/buf.h"
#include "base/err.h"

/* Adds a JSON object to `out`: `settings` (JSON, NULL: {}), and the text of the catalogue of that name (shipped.h,
 * NULL: none) as its member `catalogue`. All of it is checked as the retrainer will.
 *   ERR_NOT_FOUND            no such catalogue
 *   ERR_SYNTAX, ERR_INVALID  as recipe_read() and catalogue_parse() have them */
MUST_USE enum err recipe_from_options(struct buf *out, const char *settings, const char *catalogue,
                                      struct why *why);

#endif
