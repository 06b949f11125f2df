/* SPDX-License-Identifier: Apache-2.0 */
#include "app/must.h"

#include <stdlib.h>

#include "log/log.h"

void must(enum err err, const char *what, const struct why *why)
{
    if (!err)
        return;
    log_event(LOG_ERROR, "cannot_start", "step=%s err=%s why=%s", log_quoted(slice_str(what)), err_name(err),
              log_quoted(slice_str(why ? why->text : "")));
    exit(EXIT_FAILURE);
}
