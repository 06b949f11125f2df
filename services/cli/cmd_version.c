/* SPDX-License-Identifier: Apache-2.0
 * cmd_version.c - `assay version`. */
#include "command.h"

#include <libpq-fe.h>
#include <nghttp2/nghttp2.h>

#include "base/version.h"

struct version_settings {
    bool as_json;
};

static const struct option options[] = {
    { "json", OPTION_FLAG, offsetof(struct version_settings, as_json), NULL, "as JSON" },
};

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct version_settings *s = settings;

    (void)operands;
    (void)operand_count;
    if (s->as_json)
        printf("{\"assay\": \"%s\", \"libpq\": %d, \"nghttp2\": \"%s\"}\n", ASSAY_VERSION, PQlibVersion(),
               nghttp2_version(0)->version_str);
    else
        printf("assay %s (libpq %d, nghttp2 %s)\n", ASSAY_VERSION, PQlibVersion(),
               nghttp2_version(0)->version_str);
    return EXIT_DONE;
}

const struct command cmd_version = {
    .name = "version",
    .operands = "",
    .purpose = "Print the versions of this program and of what it stands on",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .settings_size = sizeof(struct version_settings),
    .run = run,
};
