/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle/bundle.h"

#include <inttypes.h>
#include <math.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/mem.h"
#include "json/json.h"
#include "json/json_out.h"

static const char MAGIC[] = "assay bundle 1\n";
enum { MAGIC_LEN = sizeof MAGIC - 1, LENGTH_BYTES = 8, MANIFEST_MAX = 1 << 24 };

/* In the order of the bytes. What an open bundle keeps comes first, the forest last: its file is not needed
 * once it is laid out. */
enum part { PART_PLAN, PART_METRICS, PART_PARAMETERS, PART_CARD, PART_GOLDEN, PART_FOREST, PART_COUNT };

static const char *const part_names[PART_COUNT] = {
    [PART_PLAN] = "plan", [PART_METRICS] = "metrics", [PART_PARAMETERS] = "parameters",
    [PART_CARD] = "card", [PART_GOLDEN] = "golden",   [PART_FOREST] = "forest",
};

struct bundle {
    char *kept;                               /* manifest and parts before the golden rows */
    struct slice manifest, parts[PART_COUNT]; /* into `kept`; empty for those that are not kept */
    struct slice name;
    unsigned char hash[SHA256_BYTES];
    int64_t created_at_us;
    struct forest *forest;
    struct plan *plan;
    struct calibration calibration;
    struct bundle_thresholds thresholds;
    struct bundle_training training;
    struct histogram *histograms, *margin_histogram;
    size_t golden_rows;
};

/* ---- building ---- */

static void write_histogram(struct json_out *o, const char *key, const struct histogram *h)
{
    json_out_open(o, key);
    json_out_list(o, "edges");
    for (size_t i = 0; i < h->edge_count; i++)
        json_out_number(o, NULL, h->edges[i]);
    json_out_end(o);
    json_out_list(o, "counts");
    for (size_t i = 0; i < histogram_bins(h); i++)
        json_out_int(o, NULL, (int64_t)h->counts[i]);
    json_out_end(o);
    json_out_end(o);
}

static void write_knots(struct json_out *o, const struct calibration *c)
{
    json_out_open(o, "calibration");
    json_out_list(o, "margin");
    for (size_t i = 0; c && i < c->count; i++)
        json_out_number(o, NULL, c->x[i]);
    json_out_end(o);
    json_out_list(o, "log_odds");
    for (size_t i = 0; c && i < c->count; i++)
        json_out_number(o, NULL, c->y[i]);
    json_out_end(o);
    json_out_end(o);
}

static void write_manifest(struct buf *out, const struct bundle_parts *p, const struct slice *parts)
{
    struct json_out o = json_out_to(out);
    size_t columns = plan_columns(p->plan);

    json_out_open(&o, NULL);
    json_out_text(&o, "name", p->name);
    json_out_time(&o, "created_at", p->created_at_us);
    json_out_hex(&o, "plan", slice_of(plan_hash(p->plan), SHA256_BYTES));
    json_out_list(&o, "features");
    for (size_t i = 0; i < columns; i++)
        json_out_text(&o, NULL, plan_column(p->plan, i)->name);
    json_out_end(&o);
    json_out_open(&o, "thresholds");
    json_out_number(&o, "challenge", p->thresholds.challenge);
    json_out_number(&o, "review", p->thresholds.review);
    json_out_number(&o, "decline", p->thresholds.decline);
    json_out_end(&o);
    write_knots(&o, p->calibration);
    json_out_open(&o, "training");
    json_out_time(&o, "from", p->training.from_us);
    json_out_time(&o, "until", p->training.until_us);
    json_out_time(&o, "labels_known", p->training.labels_known_us);
    json_out_int(&o, "label_delay_us", p->training.label_delay_us);
    json_out_int(&o, "rows", (int64_t)p->training.rows);
    json_out_int(&o, "frauds", (int64_t)p->training.frauds);
    json_out_end(&o);
    json_out_int(&o, "golden_rows", (int64_t)p->golden_rows);
    json_out_list(&o, "histograms");
    for (size_t i = 0; p->histograms && i < columns; i++)
        write_histogram(&o, NULL, &p->histograms[i]);
    json_out_end(&o);
    if (p->margin_histogram)
        write_histogram(&o, "margin_histogram", p->margin_histogram);
    json_out_list(&o, "parts");
    for (size_t i = 0; i < PART_COUNT; i++) {
        json_out_open(&o, NULL);
        json_out_str(&o, "name", part_names[i]);
        json_out_int(&o, "bytes", (int64_t)parts[i].len);
        json_out_end(&o);
    }
    json_out_end(&o);
    json_out_end(&o);
}

static void add_le(struct buf *out, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        buf_add_char(out, (char)(value >> (8 * i) & 0xff));
}

static uint64_t le(const char *p, size_t bytes)
{
    uint64_t v = 0;

    for (size_t i = bytes; i-- > 0;)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

static void add_floats(struct buf *out, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, &values[i], sizeof bits);
        add_le(out, bits, sizeof bits);
    }
}

static void read_floats(const char *p, float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)le(p + 4 * i, sizeof bits);

        memcpy(&values[i], &bits, sizeof bits);
    }
}

enum err bundle_build(struct buf *out, const struct bundle_parts *p, struct why *why)
{
    struct slice parts[PART_COUNT] = {
        [PART_PLAN] = plan_text(p->plan),
        [PART_METRICS] = p->metrics.len ? p->metrics : SLICE("{}"),
        [PART_PARAMETERS] = p->parameters.len ? p->parameters : SLICE("{}"),
        [PART_CARD] = p->card,
        [PART_FOREST] = p->forest,
    };
    unsigned char digest[SHA256_BYTES];
    struct buf golden, manifest, all;
    struct bundle *opened;
    enum err err;

    buf_init(&golden, 0);
    buf_init(&manifest, 0);
    buf_init(&all, 0);
    add_floats(&golden, p->golden, p->golden_rows * plan_columns(p->plan));
    add_floats(&golden, p->golden_margins, p->golden_rows);
    parts[PART_GOLDEN] = buf_slice(&golden);
    write_manifest(&manifest, p, parts);

    buf_add(&all, MAGIC, MAGIC_LEN);
    add_le(&all, manifest.len, LENGTH_BYTES);
    buf_add_slice(&all, buf_slice(&manifest));
    for (size_t i = 0; i < PART_COUNT; i++)
        buf_add_slice(&all, parts[i]);
    sha256(buf_slice(&all), digest);
    buf_add(&all, digest, sizeof digest);

    err = bundle_open(&opened, buf_slice(&all), why);
    bundle_close(opened);
    if (!err && !buf_add_slice(out, buf_slice(&all)))
        err = err_set(why, ERR_TOO_LARGE, "a bundle of %zu bytes does not fit", all.len);
    buf_release(&all);
    buf_release(&manifest);
    buf_release(&golden);
    return err;
}

/* ---- opening ---- */

static enum err bad(struct why *why, const char *what)
{
    return err_set(why, ERR_INVALID, "bundle: %s", what);
}

/* A list of `least` to `most` finite numbers, as an array of its own. */
static enum err read_numbers(double **out, size_t *count, const json_t *list, size_t most, const char *what,
                             struct why *why)
{
    *out = NULL;
    *count = json_array_size(list);
    if (!json_is_array(list) || *count > most)
        return err_set(why, ERR_INVALID, "bundle: %s is not a list of at most %zu numbers", what, most);
    if (*count == 0)
        return ERR_OK;
    *out = mem_new_n(double, *count);
    for (size_t i = 0; i < *count; i++) {
        const json_t *value = json_array_get(list, i);

        if (!json_is_number(value)) {
            mem_free(*out);
            *out = NULL;
            return err_set(why, ERR_INVALID, "bundle: %s has something else than numbers", what);
        }
        (*out)[i] = json_number_value(value);
    }
    return ERR_OK;
}

static enum err read_histogram(struct histogram *h, const json_t *object, struct why *why)
{
    const json_t *counts = json_object_get(object, "counts");
    enum err err = read_numbers(&h->edges, &h->edge_count, json_object_get(object, "edges"), BUNDLE_EDGES_MAX,
                                "a histogram's edges", why);

    if (err)
        return err;
    for (size_t i = 1; i < h->edge_count; i++)
        if (!(h->edges[i] > h->edges[i - 1]))
            return bad(why, "a histogram's edges do not rise");
    if (!json_is_array(counts) || json_array_size(counts) != histogram_bins(h))
        return bad(why, "a histogram's counts are not two more than its edges");
    h->counts = mem_new_n(uint64_t, histogram_bins(h));
    for (size_t i = 0; i < histogram_bins(h); i++) {
        const json_t *count = json_array_get(counts, i);

        if (!json_is_integer(count) || json_integer_value(count) < 0)
            return bad(why, "a histogram counts something else than rows");
        h->counts[i] = (uint64_t)json_integer_value(count);
    }
    return ERR_OK;
}

static enum err read_histograms(struct bundle *b, const json_t *manifest, struct why *why)
{
    const json_t *list = json_object_get(manifest, "histograms"),
                 *margin = json_object_get(manifest, "margin_histogram");
    size_t columns = plan_columns(b->plan);
    enum err err = ERR_OK;

    if (!json_is_array(list) || (json_array_size(list) != 0 && json_array_size(list) != columns))
        return bad(why, "there is not one histogram per feature");
    if (json_array_size(list) > 0) {
        b->histograms = mem_new_n(struct histogram, columns);
        for (size_t i = 0; i < columns && !err; i++)
            err = read_histogram(&b->histograms[i], json_array_get(list, i), why);
    }
    if (!err && margin != NULL) {
        b->margin_histogram = mem_new(struct histogram);
        err = read_histogram(b->margin_histogram, margin, why);
    }
    return err;
}

static enum err read_calibration(struct bundle *b, const json_t *manifest, struct why *why)
{
    const json_t *c = json_object_get(manifest, "calibration");
    size_t margins, log_odds;
    enum err err = read_numbers(&b->calibration.x, &margins, json_object_get(c, "margin"), BUNDLE_KNOTS_MAX,
                                "the calibration's margins", why);

    if (!err)
        err = read_numbers(&b->calibration.y, &log_odds, json_object_get(c, "log_odds"), BUNDLE_KNOTS_MAX,
                           "the calibration's log-odds", why);
    if (err)
        return err;
    if (margins != log_odds)
        return bad(why, "the calibration's margins and log-odds are not pairs");
    b->calibration.count = margins;
    return calibration_check(&b->calibration, why);
}

static enum err read_number(double *out, const json_t *object, const char *key, struct why *why)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_number(value) || !(json_number_value(value) >= 0))
        return err_set(why, ERR_INVALID, "bundle: %s is not a number from 0", key);
    *out = json_number_value(value);
    return ERR_OK;
}

static enum err read_integer(int64_t *out, const json_t *object, const char *key, struct why *why)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return err_set(why, ERR_INVALID, "bundle: %s is not an integer from 0", key);
    *out = json_integer_value(value);
    return ERR_OK;
}

static enum err read_time(int64_t *out, const json_t *object, const char *key, struct why *why)
{
    if (!rfc3339_parse(json_slice(json_object_get(object, key)), out))
        return err_set(why, ERR_INVALID, "bundle: %s is not a time", key);
    return ERR_OK;
}

static bool is_name(struct slice name)
{
    if (name.len == 0 || name.len > BUNDLE_NAME_MAX || !(name.ptr[0] >= 'a' && name.ptr[0] <= 'z'))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return true;
}

/* Where each part stands; together they are all that is between the manifest and the digest. */
static enum err read_parts(struct slice *parts, const json_t *manifest, struct slice rest, struct why *why)
{
    const json_t *list = json_object_get(manifest, "parts");
    int64_t bytes;

    if (json_array_size(list) != PART_COUNT)
        return bad(why, "its parts are not those of a bundle");
    for (size_t i = 0; i < PART_COUNT; i++) {
        const json_t *part = json_array_get(list, i);
        enum err err = read_integer(&bytes, part, "bytes", why);

        if (err)
            return err;
        if (!slice_eq_str(json_slice(json_object_get(part, "name")), part_names[i]))
            return err_set(why, ERR_INVALID, "bundle: part %zu is not %s", i, part_names[i]);
        if ((uint64_t)bytes > rest.len)
            return err_set(why, ERR_INVALID, "bundle: %s is longer than the bundle", part_names[i]);
        parts[i] = slice_of(rest.ptr, (size_t)bytes);
        rest = slice_of(rest.ptr + bytes, rest.len - (size_t)bytes);
    }
    return rest.len ? bad(why, "something stands behind its parts") : ERR_OK;
}

static enum err read_small(struct bundle *b, const json_t *m, struct why *why)
{
    const json_t *thresholds = json_object_get(m, "thresholds"), *training = json_object_get(m, "training");
    int64_t rows, frauds;
    enum err err;

    if (!is_name(json_slice(json_object_get(m, "name"))))
        return bad(why, "its name is not one of lower-case letters, digits, '_' and '-'");
    if ((err = read_time(&b->created_at_us, m, "created_at", why)) ||
        (err = read_number(&b->thresholds.challenge, thresholds, "challenge", why)) ||
        (err = read_number(&b->thresholds.review, thresholds, "review", why)) ||
        (err = read_number(&b->thresholds.decline, thresholds, "decline", why)) ||
        (err = read_time(&b->training.from_us, training, "from", why)) ||
        (err = read_time(&b->training.until_us, training, "until", why)) ||
        (err = read_time(&b->training.labels_known_us, training, "labels_known", why)) ||
        (err = read_integer(&b->training.label_delay_us, training, "label_delay_us", why)) ||
        (err = read_integer(&rows, training, "rows", why)) ||
        (err = read_integer(&frauds, training, "frauds", why)))
        return err;
    b->training.rows = (uint64_t)rows;
    b->training.frauds = (uint64_t)frauds;
    return ERR_OK;
}

static enum err check_golden(struct bundle *b, const json_t *manifest, struct slice golden, struct why *why)
{
    size_t columns = forest_columns(b->forest);
    struct forest_scratch *scratch;
    float *row, *margins;
    int64_t rows;
    enum err err = read_integer(&rows, manifest, "golden_rows", why);

    if (err)
        return err;
    if (rows < 1 || rows > BUNDLE_GOLDEN_MAX || golden.len != (size_t)rows * (columns + 1) * sizeof *row)
        return bad(why, "its golden rows are not as many as it says");
    b->golden_rows = (size_t)rows;
    scratch = forest_scratch_new(b->forest);
    row = mem_new_n(float, columns);
    margins = mem_new_n(float, b->golden_rows);
    read_floats(golden.ptr + b->golden_rows * columns * sizeof *row, margins, b->golden_rows);
    for (size_t i = 0; i < b->golden_rows && !err; i++) {
        float margin;

        read_floats(golden.ptr + i * columns * sizeof *row, row, columns);
        margin = forest_margin(b->forest, row, scratch);
        if (memcmp(&margin, &margins[i], sizeof margin) != 0)
            err = err_set(why, ERR_INVALID, "bundle: golden row %zu gives %.9g, not %.9g", i, (double)margin,
                          (double)margins[i]);
    }
    mem_free(margins);
    mem_free(row);
    forest_scratch_free(scratch);
    return err;
}

static enum err check_json(struct slice text, const char *what, struct why *why)
{
    json_t *json;
    bool is_object;
    enum err err = json_parse(&json, text, JSON_DEPTH_MAX, why);

    if (err)
        return err_wrap(why, ERR_INVALID, "bundle: %s", what);
    is_object = json_is_object(json);
    json_decref(json);
    return is_object ? ERR_OK : err_set(why, ERR_INVALID, "bundle: %s is not a JSON object", what);
}

/* Keeps copies of what lives on, and finds everything else in `bytes`. */
static enum err open_parts(struct bundle *b, const json_t *manifest, struct slice text, struct slice rest,
                           struct why *why)
{
    struct slice parts[PART_COUNT], name;
    const json_t *plan_hex = json_object_get(manifest, "plan");
    unsigned char expected[SHA256_BYTES];
    size_t kept;
    enum err err = read_parts(parts, manifest, rest, why);

    if (err)
        return err;
    kept = text.len + (size_t)(parts[PART_GOLDEN].ptr - rest.ptr);
    b->kept = mem_strndup(text.ptr, kept);
    b->manifest = slice_of(b->kept, text.len);
    for (size_t i = 0; i < PART_GOLDEN; i++)
        b->parts[i] = slice_of(b->kept + (parts[i].ptr - text.ptr), parts[i].len);
    name = json_slice(json_object_get(manifest, "name"));
    if ((err = read_small(b, manifest, why)) || (err = read_calibration(b, manifest, why)) ||
        (err = check_json(parts[PART_METRICS], "metrics", why)) ||
        (err = check_json(parts[PART_PARAMETERS], "parameters", why)))
        return err;
    if (!slice_is_utf8(parts[PART_CARD]))
        return bad(why, "its card is not UTF-8");
    b->name = slice_of(mem_strndup(name.ptr, name.len), name.len);
    err = plan_parse(&b->plan, parts[PART_PLAN], why);
    if (err)
        return err_wrap(why, err, "bundle: plan");
    if (!hex_decode(json_slice(plan_hex), expected, sizeof expected) ||
        memcmp(expected, plan_hash(b->plan), sizeof expected) != 0)
        return bad(why, "its plan is not the one it names");
    err = forest_open(&b->forest, parts[PART_FOREST], why);
    if (err)
        return err_wrap(why, err, "bundle: forest");
    if (forest_columns(b->forest) != plan_columns(b->plan))
        return err_set(why, ERR_INVALID, "bundle: the forest has %zu columns and the plan %zu",
                       forest_columns(b->forest), plan_columns(b->plan));
    err = read_histograms(b, manifest, why);
    if (err)
        return err;
    return check_golden(b, manifest, parts[PART_GOLDEN], why);
}

enum err bundle_open(struct bundle **out, struct slice bytes, struct why *why)
{
    struct bundle *b = NULL;
    unsigned char digest[SHA256_BYTES];
    struct slice text, rest;
    json_t *manifest = NULL;
    uint64_t length;
    enum err err = ERR_OK;

    *out = NULL;
    if (bytes.len > BUNDLE_BYTES_MAX)
        return err_set(why, ERR_TOO_LARGE, "bundle: over %d bytes", BUNDLE_BYTES_MAX);
    if (bytes.len < MAGIC_LEN + LENGTH_BYTES + SHA256_BYTES || memcmp(bytes.ptr, MAGIC, MAGIC_LEN) != 0)
        return err_set(why, ERR_SYNTAX, "bundle: these bytes are no bundle of format 1");
    sha256(slice_of(bytes.ptr, bytes.len - SHA256_BYTES), digest);
    if (memcmp(digest, bytes.ptr + bytes.len - SHA256_BYTES, SHA256_BYTES) != 0)
        return err_set(why, ERR_SYNTAX, "bundle: damaged or cut short: its digest is another");
    length = le(bytes.ptr + MAGIC_LEN, LENGTH_BYTES);
    rest =
        slice_of(bytes.ptr + MAGIC_LEN + LENGTH_BYTES, bytes.len - MAGIC_LEN - LENGTH_BYTES - SHA256_BYTES);
    if (length > rest.len || length > MANIFEST_MAX)
        return err_set(why, ERR_SYNTAX, "bundle: its manifest is longer than it may be");
    text = slice_of(rest.ptr, (size_t)length);
    rest = slice_of(rest.ptr + length, rest.len - (size_t)length);
    err = json_parse(&manifest, text, JSON_DEPTH_MAX, why);
    if (err)
        return err_wrap(why, err, "bundle: manifest");

    b = mem_new(struct bundle);
    sha256(bytes, b->hash);
    err = open_parts(b, manifest, text, rest, why);
    if (err)
        goto out;
    *out = b;
    b = NULL;
out:
    bundle_close(b);
    json_decref(manifest);
    return err;
}

static void histogram_free(struct histogram *h)
{
    mem_free(h->edges);
    mem_free(h->counts);
}

void bundle_close(struct bundle *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; b->histograms && i < plan_columns(b->plan); i++)
        histogram_free(&b->histograms[i]);
    mem_free(b->histograms);
    if (b->margin_histogram)
        histogram_free(b->margin_histogram);
    mem_free(b->margin_histogram);
    mem_free(b->calibration.x);
    mem_free(b->calibration.y);
    forest_close(b->forest);
    plan_free(b->plan);
    mem_free((char *)b->name.ptr);
    mem_free(b->kept);
    mem_free(b);
}

/* ---- reading ---- */

struct slice bundle_name(const struct bundle *b)
{
    return b->name;
}

const unsigned char *bundle_hash(const struct bundle *b)
{
    return b->hash;
}

int64_t bundle_created_at_us(const struct bundle *b)
{
    return b->created_at_us;
}

const struct forest *bundle_forest(const struct bundle *b)
{
    return b->forest;
}

const struct plan *bundle_plan(const struct bundle *b)
{
    return b->plan;
}

struct bundle_thresholds bundle_thresholds(const struct bundle *b)
{
    return b->thresholds;
}

struct bundle_training bundle_training(const struct bundle *b)
{
    return b->training;
}

const struct histogram *bundle_histograms(const struct bundle *b)
{
    return b->histograms;
}

const struct histogram *bundle_margin_histogram(const struct bundle *b)
{
    return b->margin_histogram;
}

struct slice bundle_metrics(const struct bundle *b)
{
    return b->parts[PART_METRICS];
}

struct slice bundle_parameters(const struct bundle *b)
{
    return b->parts[PART_PARAMETERS];
}

struct slice bundle_card(const struct bundle *b)
{
    return b->parts[PART_CARD];
}

struct slice bundle_manifest(const struct bundle *b)
{
    return b->manifest;
}

size_t bundle_golden_rows(const struct bundle *b)
{
    return b->golden_rows;
}

double bundle_score(const struct bundle *b, float margin)
{
    return calibration_eval(&b->calibration, (double)margin);
}
