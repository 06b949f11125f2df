/* SPDX-License-Identifier: Apache-2.0
 * yaml_json.h - a YAML file that people write as the JSON that programs keep. */
#ifndef ASSAY_CLI_YAML_JSON_H
#define ASSAY_CLI_YAML_JSON_H

#include "base/buf.h"
#include "base/err.h"

/* Appends the one document in `yaml` as JSON; `out` has a cap. Plain true, false, null and numbers are that,
 * everything else is text. JSON itself is YAML and passes through.
 *   ERR_SYNTAX     not YAML, or nested deeper than rule sets are: *why has the line
 *   ERR_TOO_LARGE  it does not fit into `out` */
MUST_USE enum err yaml_to_json(struct buf *out, struct slice yaml, struct why *why);

#endif
