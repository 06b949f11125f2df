/* SPDX-License-Identifier: Apache-2.0
 * cmd_import.c - `assay import`: a CSV file and a mapping become the stream that replay, load and train read.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "command.h"
#include "stream.h"

struct import {
    struct stream_settings stream;
    const char *out, *from, *until;
    int64_t limit;
    bool skips_bad;
};

static const struct option options[] = {
    { "mapping", OPTION_TEXT, offsetof(struct import, stream.mapping), "NAME",
      "handbook, sparkov, ucsd, fraudecom, or a file of your own" },
    { "out", OPTION_TEXT, offsetof(struct import, out), "FILE", "instead of standard output" },
    { "label-delay", OPTION_TEXT, offsetof(struct import, stream.label_delay), "7d",
      "how long after its transaction a label becomes known" },
    { "all-labels", OPTION_FLAG, offsetof(struct import, stream.all_labels), NULL,
      "also write the labels that say \"legitimate\"" },
    { "from", OPTION_TEXT, offsetof(struct import, from), "DAY", "leave out what was known before" },
    { "until", OPTION_TEXT, offsetof(struct import, until), "DAY", "and what became known from then on" },
    { "limit", OPTION_INT, offsetof(struct import, limit), "N", "stop after so many transactions" },
    { "key-file", OPTION_TEXT, offsetof(struct import, stream.key_file), "FILE",
      "the 16 bytes that make card tokens; made when it is not there" },
    { "skip-bad", OPTION_FLAG, offsetof(struct import, skips_bad), NULL,
      "rows that cannot be read do not make the command fail" },
};

static enum err copy(struct stream *s, const struct import *settings, int64_t from_us, int64_t until_us,
                     FILE *out, uint64_t *written, struct why *why)
{
    struct dataset_event event;
    struct buf lines;
    enum err err;
    bool is_end;

    buf_init(&lines, 0);
    while (!(err = dataset_next(s->dataset, &event, &is_end, why)) && !is_end) {
        int64_t at_us = event.kind == DATASET_TXN ? event.txn.known_at_us : event.label.known_at_us;

        if (at_us >= until_us)
            break;
        if (at_us < from_us)
            continue;
        if (event.kind == DATASET_TXN && settings->limit && *written == (uint64_t)settings->limit)
            break;
        *written += event.kind == DATASET_TXN;
        dataset_write(&lines, &event);
        if (lines.len > 1 << 16) {
            fwrite(buf_slice(&lines).ptr, 1, lines.len, out);
            buf_clear(&lines);
        }
    }
    if (lines.len)
        fwrite(buf_slice(&lines).ptr, 1, lines.len, out);
    if (!err && (fflush(out) || ferror(out)))
        err = err_set(why, ERR_INTERNAL, "write: %s", strerror(errno));
    buf_release(&lines);
    return err;
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct import *i = settings;
    int64_t from_us = INT64_MIN, until_us = INT64_MAX;
    struct stream stream = { 0 };
    struct dataset_counts counts = { 0 };
    struct why why = { 0 };
    uint64_t written = 0;
    FILE *out = stdout;
    enum err err;

    (void)operand_count;
    if (!i->stream.mapping)
        return command_fail(EXIT_USAGE, "--mapping says what the columns mean; see `assay help import`");
    if ((i->from && !stream_time_parse(i->from, &from_us)) ||
        (i->until && !stream_time_parse(i->until, &until_us)))
        return command_fail(EXIT_USAGE, "--from and --until are days like 2018-06-01 or times of RFC 3339");
    if (i->out && !(out = fopen(i->out, "wb")))
        return command_fail(EXIT_FAILED, "%s: %s", i->out, strerror(errno));
    err = stream_open(&stream, operands[0], &i->stream, &why);
    if (!err)
        err = copy(&stream, i, from_us, until_us, out, &written, &why);
    if (stream.dataset)
        counts = dataset_counts(stream.dataset);
    stream_close(&stream);
    if (i->out && fclose(out) && !err)
        err = err_set(&why, ERR_INTERNAL, "%s: %s", i->out, strerror(errno));
    if (err)
        return command_end(err, &why);
    fprintf(stderr, "%" PRIu64 " transactions written, %" PRIu64 " rows could not be read", written,
            counts.bad);
    if (counts.late)
        fprintf(stderr, ", %" PRIu64 " out of order", counts.late);
    fputc('\n', stderr);
    return counts.bad && !i->skips_bad ? EXIT_FAILED : EXIT_DONE;
}

const struct command cmd_import = {
    .name = "import",
    .operands = "<file.csv[.zst]|->",
    .purpose = "Turn a CSV file into the stream that replay, load and train read",
    .text =
        "Writes one line of JSON for each transaction and each label, in the order in which they became\n"
        "known: what the public API takes, with a \"type\". Reads any size in little memory, also\n"
        "compressed by zstd. A mapping (models/mappings/NAME.yaml) says which column is what. Card\n"
        "numbers are replaced by keyed tokens before anything else sees them.\n\n"
        "A row that cannot be read is told with its line and counted; the others are written.\n\n"
        "  assay import --mapping handbook transactions.csv.zst > handbook.ndjson\n"
        "  assay import --mapping handbook --from 2018-07-25 --until 2018-08-15 t.csv.zst | assay replay -",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .operands_least = 1,
    .operands_most = 1,
    .settings_size = sizeof(struct import),
    .run = run,
};
