/* SPDX-License-Identifier: Apache-2.0
 * cmd_card.c - `assay models card`: a model's card with its pictures. */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "bundle/bundle.h"
#include "bundle/card.h"
#include "database.h"
#include "file.h"
#include "modelstore/modelstore.h"
#include "pg/session.h"
#include "versions.h"

static enum err write_in(const char *dir, const char *name, struct slice bytes, struct why *why)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= PATH_MAX)
        return err_set(why, ERR_INVALID, "the path is too long");
    return file_write(path, bytes, why);
}

static enum err write_all(const char *dir, const struct bundle *b, size_t *pictures, struct why *why)
{
    struct buf svg;
    enum err err;

    *pictures = 0;
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        return err_set(why, ERR_UNAVAILABLE, "make %s: %s", dir, strerror(errno));
    err = write_in(dir, "card.md", bundle_card(b), why);
    buf_init(&svg, 0);
    for (int i = 0; i < CARD_PLOT_COUNT && !err; i++) {
        buf_clear(&svg);
        if (!card_plot(&svg, (enum card_plot)i, bundle_metrics(b), bundle_thresholds(b).decline))
            continue;
        err = write_in(dir, card_plot_file((enum card_plot)i), buf_slice(&svg), why);
        ++*pictures;
    }
    buf_release(&svg);
    return err;
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    struct bundle *bundle = NULL;
    struct pg_session *s = NULL;
    struct why why = { 0 };
    struct buf bytes;
    int64_t version;
    size_t pictures = 0;
    enum err err;

    (void)settings;
    (void)operand_count;
    if (!version_read(operands[0], &version))
        return EXIT_USAGE;
    buf_init(&bytes, 0);
    err = database_open_migrated(&s, &why);
    if (!err)
        err = model_read(s, version, NULL, &bytes, &why);
    if (!err)
        err = bundle_open(&bundle, buf_slice(&bytes), &why);
    if (!err)
        err = write_all(operands[1], bundle, &pictures, &why);
    if (!err)
        printf("wrote %s/card.md and %zu pictures\n", operands[1], pictures);
    bundle_close(bundle);
    buf_release(&bytes);
    pg_session_close(s);
    return command_end(err, &why);
}

const struct command cmd_models_card = {
    .name = "models card",
    .operands = "<version> <directory>",
    .purpose = "Write a model's card as Markdown, with its curves as SVG beside it",
    .text =
        "The card is the one in the bundle; the pictures are drawn from the figures in the bundle: "
        "precision\n"
        "and recall, reliability, scores, and money by threshold. A bundle without curves has no pictures.",
    .operands_least = 2,
    .operands_most = 2,
    .run = run,
};
