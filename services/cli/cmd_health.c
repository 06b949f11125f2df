/* SPDX-License-Identifier: Apache-2.0
 * cmd_health.c - `assay health`: whether one service is as it should be, for a container's health check. */
#include "command.h"

#include <stdlib.h>

#include "health.h"

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    struct why detail;
    enum health health = health_at(operands[0], &detail);

    (void)settings;
    (void)operand_count;
    printf("%s%s%s\n", health_name(health), *detail.text ? ": " : "", detail.text);
    return health >= HEALTH_NO_MODEL ? EXIT_DONE : EXIT_FAILED;
}

const struct command cmd_health = {
    .name = "health",
    .operands = "<url>",
    .operands_least = 1,
    .operands_most = 1,
    .purpose = "Say whether one service is well, by its admin port",
    .text =
        "Asks /readyz. A features that stands by and a scoring without a model are well: they wait for\n"
        "something, and starting them again would not bring it. Status 1 when it is not well, or silent.\n\n"
        "  assay health http://127.0.0.1:9101",
    .run = run,
};
