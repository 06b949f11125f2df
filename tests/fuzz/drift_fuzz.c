/* SPDX-License-Identifier: Apache-2.0
 * drift_fuzz.c - any bytes are what watching has packed (a layout, a window, alarms, a day of quality, a
 * track of estimates) or are refused; what is one is packed again as the same bytes, and can be used. The first byte
 * says which; checksums and the layout's identity are made to fit, or nothing behind them would ever be read. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "drift/verdict.h"
#include "quality/figures.h"

enum { KINDS = 5, SUM_BYTES = 8 };

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct drift_layout *small_layout(void)
{
    static const struct slice names[] = { { "a", 1 }, { "b", 1 } },
                              channels[] = { { "pos", 3 }, { "atm", 3 } };
    double edges[] = { 1, 2, 3 };
    struct histogram histograms[2] = { { 3, edges, NULL }, { 1, edges, NULL } };
    struct drift_source source = { names, histograms, 2, &histograms[1], { { channels, 2 } } };
    struct drift_layout *layout;
    struct why why;

    if (drift_layout_new(&layout, &source, &why))
        abort();
    return layout;
}

static void put(char *at, uint64_t number)
{
    for (size_t i = 0; i < SUM_BYTES; i++)
        at[i] = (char)(unsigned char)(number >> 8 * i);
}

/* The last eight bytes become the checksum of those before. */
static void sign(char *bytes, size_t size, const char *key)
{
    struct hash_key k = { { 0 } };

    memcpy(k.bytes, key, strlen(key));
    if (size >= SUM_BYTES)
        put(bytes + size - SUM_BYTES, hash64(&k, slice_of(bytes, size - SUM_BYTES)));
}

static void expect(bool holds)
{
    if (!holds)
        abort();
}

static void expect_same(struct buf *packed, struct slice bytes)
{
    expect(slice_eq(buf_slice(packed), bytes));
}

static void use_window(const struct drift_window *w)
{
    struct drift_verdict *verdicts = mem_new_n(struct drift_verdict, drift_layout_subjects(w->layout));
    struct drift_judge *judge = drift_judge_new(w, &drift_settings_default);

    if (w->rows < 3000) /* laws take their time */
        expect(drift_judge_window(judge, w, verdicts) == 0);
    drift_judge_free(judge);
    mem_free(verdicts);
}

static enum err open_layout(struct slice bytes, struct buf *again, struct why *why)
{
    struct drift_layout *layout;
    enum err err = drift_layout_open(&layout, bytes, why);

    expect((err == ERR_OK) == (layout != NULL));
    if (!err)
        drift_layout_pack(layout, again);
    drift_layout_free(layout);
    return err;
}

static enum err open_window(struct slice bytes, const struct drift_layout *layout, struct buf *again,
                            struct why *why)
{
    struct drift_window w;
    enum err err = drift_window_open(&w, layout, bytes, why);

    if (!err) {
        drift_window_pack(&w, again);
        use_window(&w);
    }
    drift_window_release(&w);
    return err;
}

static enum err open_alarms(struct slice bytes, const struct drift_layout *layout, struct buf *again,
                            struct why *why)
{
    struct drift_alarms *alarms;
    enum err err = drift_alarms_open(&alarms, layout, bytes, why);

    if (!err)
        drift_alarms_pack(alarms, again);
    drift_alarms_free(alarms);
    return err;
}

static enum err open_day(struct slice bytes, struct buf *again, struct why *why)
{
    struct quality_day *day = mem_new(struct quality_day);
    enum err err = quality_day_open(day, bytes, why);
    struct quality_calibration calibration;
    struct quality_figures figures;

    if (!err) {
        quality_day_pack(day, again);
        quality_realised(&figures, day, ACTION_REVIEW);
        quality_estimated(&figures, day, ACTION_REVIEW);
        quality_calibration(&calibration, day);
    }
    mem_free(day);
    return err;
}

static enum err open_track(struct slice bytes, struct buf *again, struct why *why)
{
    struct quality_track track;
    enum err err = quality_track_open(&track, bytes, why);

    if (!err)
        quality_track_pack(&track, again);
    return err;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct drift_layout *layout;
    struct why why = { 0 };
    struct slice bytes;
    enum err err = ERR_OK;
    struct buf again;
    char *copy;

    if (size < 1 || size > 65536)
        return 0;
    layout = small_layout();
    copy = mem_alloc(size, 1);
    memcpy(copy, data + 1, size - 1);
    bytes = slice_of(copy, size - 1);
    buf_init(&again, 0);
    switch (data[0] % KINDS) {
    case 0:
        sign(copy, bytes.len, "assay layout 1\n");
        err = open_layout(bytes, &again, &why);
        break;
    case 1:
        if (bytes.len >= 15 + 2 * SUM_BYTES)
            put(copy + 15, drift_layout_id(layout));
        sign(copy, bytes.len, "assay window 1\n");
        err = open_window(bytes, layout, &again, &why);
        break;
    case 2:
        err = open_alarms(bytes, layout, &again, &why);
        break;
    case 3:
        sign(copy, bytes.len, "assay quality 1");
        err = open_day(bytes, &again, &why);
        break;
    default:
        err = open_track(bytes, &again, &why);
    }
    if (err)
        expect(why.text[0] != '\0');
    else
        expect_same(&again, bytes);
    buf_release(&again);
    mem_free(copy);
    drift_layout_free(layout);
    return 0;
}
