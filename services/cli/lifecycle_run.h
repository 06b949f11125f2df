/* SPDX-License-Identifier: Apache-2.0
 * lifecycle_run.h - `assay replay --lifecycle`: reads a stream into a life of models and tells what it came to. */
#ifndef ASSAY_CLI_LIFECYCLE_RUN_H
#define ASSAY_CLI_LIFECYCLE_RUN_H

#include "command.h"

struct lifecycle_conf {
    const char *mapping, *catalogue, *label_delay, *schedule, *plot;
    double first_days, history_days, share, control;
    int64_t shadow_days, trees, seed;
    int64_t ab_days; /* 0: no experiment; below: as many as there have to be */
    bool hides_labels;
};

/* `from` is a file, "-", or the name of a protocol (`assay evaluate`), whose file, mapping and catalogue are then
 * used. */
enum exit_code lifecycle_run(const struct lifecycle_conf *conf, const char *from, bool as_json,
                             bool is_quiet);

#endif
