/* SPDX-License-Identifier: Apache-2.0
 * stream.h - how the commands open a stream of transactions and labels, and how they tell of bad rows. */
#ifndef ASSAY_CLI_STREAM_H
#define ASSAY_CLI_STREAM_H

#include "dataset/dataset.h"

struct stream_settings {
    const char *mapping;     /* a name of models/mappings/ or a path; NULL: the input is NDJSON */
    const char *label_delay; /* "7d"; NULL: as the mapping has it */
    const char *key_file;    /* of the tokens; NULL: HOME/import.key, made at the first need */
    bool all_labels;
};

struct stream {
    struct dataset *dataset;
    struct mapping *mapping;
    const char *path;
    uint64_t told;
};

/* Zero-initialise `s`; release it whatever happens. Bad rows go to standard error, the first twenty by line.
 */
MUST_USE enum err stream_open(struct stream *s, const char *path, const struct stream_settings *settings,
                              struct why *why);
void stream_close(struct stream *s);

/* "2018-04-01" or RFC 3339. */
bool stream_time_parse(const char *text, int64_t *at_us);

#endif
