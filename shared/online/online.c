/* SPDX-License-Identifier: Apache-2.0
 * online.c - see online.h. */
#include "online/online.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "stats/ranking.h"

const struct online_settings online_defaults = {
    .alpha = 0.3, .beta = 1, .l1 = 1, .l2 = 1, .negatives = 1, .bits = 16, .window = 20000
};

enum err online_settings_check(const struct online_settings *s, struct why *why)
{
    if (!(s->alpha >= 1e-6 && s->alpha <= 1e3) || !(s->beta >= 1e-6 && s->beta <= 1e6))
        return err_set(why, ERR_INVALID, "online model: a rate of alpha %g, beta %g", s->alpha, s->beta);
    if (!(s->l1 >= 0 && s->l1 <= 1e6) || !(s->l2 >= 0 && s->l2 <= 1e6))
        return err_set(why, ERR_INVALID, "online model: penalties of %g and %g", s->l1, s->l2);
    if (!(s->negatives >= 1e-4 && s->negatives <= 1))
        return err_set(why, ERR_INVALID, "online model: a share of the negatives of %g", s->negatives);
    if (s->bits < ONLINE_BITS_MIN || s->bits > ONLINE_BITS_MAX)
        return err_set(why, ERR_INVALID, "online model: %d bits", s->bits);
    if (s->window == 0 || s->window > UINT64_C(1) << 40)
        return err_set(why, ERR_INVALID, "online model: a window of %llu", (unsigned long long)s->window);
    return ERR_OK;
}

/* Never changes: stored weights are found by it. */
static const struct hash_key key = { "assay online 1\n" };

/* ---- from a row of features to entries ---- */

enum { INTERCEPT, MISSING, VALUE, BIN, ABOVE, BELOW };
enum { RANKS = 64, DOUBLINGS = 16 };
#define AWAY_MAX      1e6
#define IQR_OF_NORMAL 1.349
#define SCALE_OF_ONE  (1.0 / 64) /* of a feature that had one value only */

struct column {
    struct histogram edges;
    uint32_t missing, value;
    uint32_t *bins; /* [edge_count + 1]; instead of the two outer ones, by distance: */
    uint32_t above[DOUBLINGS + 1], below[DOUBLINGS + 1];
    double middle, scale;
    double low, high; /* the outer edges */
};

struct online_encoder {
    size_t columns;
    uint32_t intercept;
    struct column *each;
};

static uint32_t coordinate(const unsigned char *identity, int kind, int rank, int bits)
{
    unsigned char bytes[SHA256_BYTES + 2] = { 0 };

    if (identity)
        memcpy(bytes, identity, SHA256_BYTES);
    bytes[SHA256_BYTES] = (unsigned char)kind;
    bytes[SHA256_BYTES + 1] = (unsigned char)rank;
    return (uint32_t)(hash64(&key, slice_of(bytes, sizeof bytes)) >> (64 - bits));
}

/* The value below which a share of the reference rows lies, linear within a bin; of the outer bins, which are
 * open, the edge. */
static double reference_quantile(const struct histogram *h, double rows, double share)
{
    double below = 0;

    for (size_t bin = 0; bin <= h->edge_count; bin++) {
        double count = (double)h->counts[bin];

        if (below + count >= share * rows || bin == h->edge_count) {
            double within = count > 0 ? (share * rows - below) / count : 0;

            if (bin == 0 || bin == h->edge_count)
                return h->edges[bin ? bin - 1 : 0];
            return h->edges[bin - 1] + within * (h->edges[bin] - h->edges[bin - 1]);
        }
        below += count;
    }
    return 0;
}

static void column_init(struct column *c, const unsigned char *identity, const struct histogram *h, int bits)
{
    static const struct histogram none = { 0 };
    double rows = 0, below = 0;

    if (!h)
        h = &none;
    histogram_init_edges(&c->edges, h->edges, h->edge_count);
    c->missing = coordinate(identity, MISSING, 0, bits);
    c->value = coordinate(identity, VALUE, 0, bits);
    c->bins = mem_new_n(uint32_t, h->edge_count + 1);
    for (size_t bin = 0; h->edge_count && bin <= h->edge_count; bin++)
        rows += (double)h->counts[bin];
    for (size_t bin = 0; bin <= h->edge_count; bin++) {
        double share = rows > 0 ? below / rows : (double)bin / (double)(h->edge_count + 1);

        c->bins[bin] = coordinate(identity, BIN, (int)(share * RANKS + 0.5), bits);
        below += h->edge_count ? (double)h->counts[bin] : 0;
    }
    for (int d = 0; d <= DOUBLINGS; d++) {
        c->above[d] = coordinate(identity, ABOVE, d, bits);
        c->below[d] = coordinate(identity, BELOW, d, bits);
    }
    if (h->edge_count && rows > 0) {
        c->low = h->edges[0];
        c->high = h->edges[h->edge_count - 1];
        c->middle = reference_quantile(h, rows, 0.5);
        c->scale = (reference_quantile(h, rows, 0.75) - reference_quantile(h, rows, 0.25)) / IQR_OF_NORMAL;
        if (c->scale <= 0) /* mostly one value */
            c->scale = c->high > c->low ? (c->high - c->low) / 2 : fabs(c->low);
    }
    if (!(c->scale > 0))
        c->scale = SCALE_OF_ONE;
}

/* How often a distance in scales doubles past 1: 0 for less, DOUBLINGS at the most. */
static int doublings(double distance)
{
    int d = 0;

    for (; d < DOUBLINGS && distance >= 1; d++)
        distance /= 2;
    return d;
}

static uint32_t bin_of(const struct column *c, double value)
{
    if (value > c->high || (c->edges.edge_count && value == c->high))
        return c->above[doublings((value - c->high) / c->scale)];
    if (value < c->low)
        return c->below[doublings((c->low - value) / c->scale)];
    return c->bins[histogram_bin(&c->edges, value)];
}

struct online_encoder *online_encoder_new(const unsigned char *const *identities,
                                          const struct histogram *histograms, size_t columns, int bits)
{
    struct online_encoder *e = mem_new(struct online_encoder);

    assert(bits >= ONLINE_BITS_MIN && bits <= ONLINE_BITS_MAX && columns <= ONLINE_COLUMNS_MAX);
    e->columns = columns;
    e->intercept = coordinate(NULL, INTERCEPT, 0, bits);
    e->each = mem_new_n(struct column, columns + 1);
    for (size_t c = 0; c < columns; c++)
        column_init(&e->each[c], identities[c], histograms ? &histograms[c] : NULL, bits);
    return e;
}

void online_encoder_free(struct online_encoder *encoder)
{
    if (!encoder)
        return;
    for (size_t c = 0; c < encoder->columns; c++) {
        histogram_release(&encoder->each[c].edges);
        mem_free(encoder->each[c].bins);
    }
    mem_free(encoder->each);
    mem_free(encoder);
}

size_t online_entries_max(const struct online_encoder *encoder)
{
    return 1 + 2 * encoder->columns;
}

size_t online_encode(const struct online_encoder *encoder, const float *values, struct online_entry *entries)
{
    size_t count = 0;

    entries[count++] = (struct online_entry){ encoder->intercept, 1 };
    for (size_t i = 0; i < encoder->columns; i++) {
        const struct column *c = &encoder->each[i];

        if (isnan(values[i])) {
            entries[count++] = (struct online_entry){ c->missing, 1 };
            continue;
        }
        entries[count++] = (struct online_entry){ bin_of(c, values[i]), 1 };
        double away = (values[i] - c->middle) / c->scale;

        entries[count++] =
            (struct online_entry){ c->value, (float)copysign(log1p(fmin(fabs(away), AWAY_MAX)), away) };
    }
    return count;
}

/* ---- the model ---- */

/* Sums of a window of progressive validation. */
struct window {
    uint64_t examples, frauds;
    double weight, fraud_weight, loss, probability; /* the last two times the weight */
    double buckets[2 * ONLINE_BUCKETS];             /* weights by 2 * bucket + is_fraud */
    double money[2 * ONLINE_BUCKETS];               /* weights times amounts, likewise */
};

struct online {
    struct online_settings settings;
    uint64_t examples, learned;
    struct window running, last;
    double *z, *n; /* [2^bits] */
};

static size_t coordinates(const struct online *model)
{
    return (size_t)1 << model->settings.bits;
}

struct online *online_new(const struct online_settings *settings)
{
    struct online *model = mem_new(struct online);

    assert(!online_settings_check(settings, NULL));
    model->settings = *settings;
    model->z = mem_new_n(double, coordinates(model));
    model->n = mem_new_n(double, coordinates(model));
    return model;
}

void online_free(struct online *model)
{
    if (!model)
        return;
    mem_free(model->z);
    mem_free(model->n);
    mem_free(model);
}

const struct online_settings *online_settings(const struct online *model)
{
    return &model->settings;
}

static double weight_at(const struct online *model, size_t i)
{
    const struct online_settings *s = &model->settings;
    double z = model->z[i];

    if (fabs(z) <= s->l1)
        return 0;
    return -(z - (z > 0 ? s->l1 : -s->l1)) / ((s->beta + sqrt(model->n[i])) / s->alpha + s->l2);
}

double online_margin(const struct online *model, const struct online_entry *entries, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += weight_at(model, entries[i].index) * entries[i].value;
    return sum;
}

double online_probability(double margin)
{
    return 1 / (1 + exp(-margin));
}

static void note(struct online *model, double margin, double probability, bool is_fraud, double weight,
                 int64_t amount_minor)
{
    struct window *w = &model->running;
    double place = (margin + 16) * 8, wrong = is_fraud ? -margin : margin;
    size_t bucket = place < 0 ? 0 : place >= ONLINE_BUCKETS - 1 ? ONLINE_BUCKETS - 1 : (size_t)place;

    w->examples++;
    w->frauds += is_fraud;
    w->weight += weight;
    w->fraud_weight += is_fraud ? weight : 0;
    w->loss += weight * (wrong > 0 ? wrong + log1p(exp(-wrong)) : log1p(exp(wrong)));
    w->probability += weight * probability;
    w->buckets[2 * bucket + is_fraud] += weight;
    w->money[2 * bucket + is_fraud] += weight * fmax((double)amount_minor, 0);
    if (w->examples == model->settings.window) {
        model->last = *w;
        *w = (struct window){ 0 };
    }
}

static bool is_kept(const struct online *model, uint64_t example)
{
    double place = (double)(hash64(&key, slice_of(&example, sizeof example)) >> 11) * 0x1p-53;

    return place < model->settings.negatives;
}

double online_learn(struct online *model, const struct online_entry *entries, size_t count, bool is_fraud,
                    double weight, int64_t amount_minor, uint64_t example)
{
    double margin = online_margin(model, entries, count), p = online_probability(margin), slope;

    note(model, margin, p, is_fraud, weight, amount_minor);
    model->examples++;
    if (!is_fraud && !is_kept(model, example))
        return margin;
    model->learned++;
    slope = weight * (is_fraud ? p - 1 : p / model->settings.negatives);
    for (size_t i = 0; i < count; i++) {
        double *z = &model->z[entries[i].index], *n = &model->n[entries[i].index];
        double g = slope * entries[i].value, w = weight_at(model, entries[i].index), more = *n + g * g;

        *z += g - (sqrt(more) - sqrt(*n)) / model->settings.alpha * w;
        *n = more;
    }
    return margin;
}

static struct online_window look_at(const struct window *w)
{
    struct online_window out = { .examples = w->examples,
                                 .frauds = w->frauds,
                                 .log_loss = w->loss / w->weight,
                                 .mean_probability = w->probability / w->weight,
                                 .fraud_share = w->fraud_weight / w->weight };
    double scores[2 * ONLINE_BUCKETS];
    float weights[2 * ONLINE_BUCKETS];
    uint8_t labels[2 * ONLINE_BUCKETS];
    size_t count = 0;

    for (size_t i = 0; i < 2 * ONLINE_BUCKETS; i++) {
        if (w->buckets[i] > 0) {
            scores[count] = (double)(i / 2);
            labels[count] = i % 2;
            weights[count++] = (float)w->buckets[i];
        }
    }
    out.average_precision = average_precision_weighted(scores, labels, weights, count);
    return out;
}

struct online_progress online_progress(const struct online *model)
{
    struct online_progress p = { .examples = model->examples,
                                 .learned = model->learned,
                                 .running = look_at(&model->running),
                                 .last = look_at(&model->last) };

    for (size_t i = 0; i < coordinates(model); i++)
        p.weights += weight_at(model, i) != 0;
    return p;
}

size_t online_buckets(const struct online *model, struct online_bucket buckets[2 * ONLINE_BUCKETS])
{
    size_t count = 0;

    for (size_t i = 2 * ONLINE_BUCKETS; i-- > 0;) {
        double weight = model->last.buckets[i] + model->running.buckets[i];

        if (weight > 0)
            buckets[count++] =
                (struct online_bucket){ .least = i < 2 ? 0 : online_probability((double)(i / 2) / 8 - 16),
                                        .weight = weight,
                                        .money = model->last.money[i] + model->running.money[i],
                                        .is_fraud = i % 2 };
    }
    return count;
}

/* ---- packed ---- */

static const char magic[] = "assay online 1\n";
enum { CHECK_BYTES = 8 };
/* Beyond these a figure is not of learning, and sums of it could overflow. */
#define Z_MAX 1e15
#define N_MAX 1e30

static void add_u32(struct buf *out, uint32_t value)
{
    unsigned char bytes[4];

    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(value >> 8 * i);
    buf_add(out, bytes, sizeof bytes);
}

static void add_u64(struct buf *out, uint64_t value)
{
    add_u32(out, (uint32_t)value);
    add_u32(out, (uint32_t)(value >> 32));
}

static void add_f64(struct buf *out, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    add_u64(out, bits);
}

static void pack_window(const struct window *w, struct buf *out)
{
    uint32_t used = 0;

    add_u64(out, w->examples);
    add_u64(out, w->frauds);
    add_f64(out, w->weight);
    add_f64(out, w->fraud_weight);
    add_f64(out, w->loss);
    add_f64(out, w->probability);
    for (size_t i = 0; i < 2 * ONLINE_BUCKETS; i++)
        used += w->buckets[i] > 0;
    add_u32(out, used);
    for (uint32_t i = 0; i < 2 * ONLINE_BUCKETS; i++) {
        if (w->buckets[i] > 0) {
            add_u32(out, i);
            add_f64(out, w->buckets[i]);
            add_f64(out, w->money[i]);
        }
    }
}

static bool is_used(const struct online *model, size_t i)
{
    return model->n[i] > 0 || model->z[i] != 0;
}

void online_pack(const struct online *model, struct buf *out)
{
    const struct online_settings *s = &model->settings;
    size_t start = out->len;
    uint32_t used = 0;

    buf_add(out, magic, sizeof magic - 1);
    add_f64(out, s->alpha);
    add_f64(out, s->beta);
    add_f64(out, s->l1);
    add_f64(out, s->l2);
    add_f64(out, s->negatives);
    add_u32(out, (uint32_t)s->bits);
    add_u64(out, s->window);
    add_u64(out, model->examples);
    add_u64(out, model->learned);
    pack_window(&model->running, out);
    pack_window(&model->last, out);
    for (size_t i = 0; i < coordinates(model); i++)
        used += is_used(model, i);
    add_u32(out, used);
    for (size_t i = 0; i < coordinates(model); i++) {
        if (is_used(model, i)) {
            add_u32(out, (uint32_t)i);
            add_f64(out, model->z[i]);
            add_f64(out, model->n[i]);
        }
    }
    add_u64(out, hash64(&key, slice_of(buf_slice(out).ptr + start, out->len - start)));
}

/* What is left to be read; `is_short` once something was not there. */
struct reader {
    struct slice left;
    bool is_short;
};

static uint64_t read_le(struct reader *r, size_t bytes)
{
    uint64_t value = 0;

    if (r->left.len < bytes) {
        r->is_short = true;
        return 0;
    }
    for (size_t i = bytes; i-- > 0;)
        value = value << 8 | (unsigned char)r->left.ptr[i];
    r->left = slice_of(r->left.ptr + bytes, r->left.len - bytes);
    return value;
}

static double read_f64(struct reader *r)
{
    uint64_t bits = read_le(r, 8);
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static bool is_sum(double value)
{
    return value >= 0 && value <= N_MAX;
}

static bool read_window(struct reader *r, struct window *w)
{
    uint64_t used, next = 0;

    w->examples = read_le(r, 8);
    w->frauds = read_le(r, 8);
    w->weight = read_f64(r);
    w->fraud_weight = read_f64(r);
    w->loss = read_f64(r);
    w->probability = read_f64(r);
    used = read_le(r, 4);
    for (uint64_t i = 0; i < used && !r->is_short; i++) {
        uint64_t at = read_le(r, 4);
        double weight = read_f64(r), money = read_f64(r);

        if (at < next || at >= 2 * ONLINE_BUCKETS || !(weight > 0 && weight <= N_MAX) || !is_sum(money))
            return false;
        w->buckets[at] = weight;
        w->money[at] = money;
        next = at + 1;
    }
    return w->frauds <= w->examples && is_sum(w->weight) && is_sum(w->fraud_weight) && is_sum(w->loss) &&
           is_sum(w->probability);
}

static bool read_entries(struct reader *r, struct online *model)
{
    uint64_t used = read_le(r, 4), next = 0;

    for (uint64_t i = 0; i < used && !r->is_short; i++) {
        uint64_t at = read_le(r, 4);
        double z = read_f64(r), n = read_f64(r);

        if (at < next || at >= coordinates(model) || !(fabs(z) <= Z_MAX) || !is_sum(n) || (n == 0 && z == 0))
            return false;
        model->z[at] = z;
        model->n[at] = n;
        next = at + 1;
    }
    return true;
}

enum err online_open(struct online **out, struct slice bytes, struct why *why)
{
    struct online_settings s;
    struct online *model;
    struct reader r, check;
    bool is_right;
    enum err err;

    *out = NULL;
    if (!slice_starts_with(bytes, slice_of(magic, sizeof magic - 1)) ||
        bytes.len < sizeof magic + CHECK_BYTES)
        return err_set(why, ERR_SYNTAX, "no online model");
    r.left = slice_of(bytes.ptr + sizeof magic - 1, bytes.len - (sizeof magic - 1) - CHECK_BYTES);
    check.left = slice_of(bytes.ptr + bytes.len - CHECK_BYTES, CHECK_BYTES);
    r.is_short = check.is_short = false;
    if (read_le(&check, CHECK_BYTES) != hash64(&key, slice_of(bytes.ptr, bytes.len - CHECK_BYTES)))
        return err_set(why, ERR_SYNTAX, "an online model that is cut short or damaged");
    s.alpha = read_f64(&r);
    s.beta = read_f64(&r);
    s.l1 = read_f64(&r);
    s.l2 = read_f64(&r);
    s.negatives = read_f64(&r);
    s.bits = (int)fmin((double)read_le(&r, 4), ONLINE_BITS_MAX + 1);
    s.window = read_le(&r, 8);
    err = online_settings_check(&s, why);
    if (err)
        return err;
    model = online_new(&s);
    model->examples = read_le(&r, 8);
    model->learned = read_le(&r, 8);
    is_right = read_window(&r, &model->running) && read_window(&r, &model->last) && read_entries(&r, model);
    if (r.is_short || r.left.len > 0)
        err = err_set(why, ERR_SYNTAX, "an online model of another length");
    else if (!is_right || model->learned > model->examples || model->running.examples >= s.window ||
             (model->last.examples != s.window && model->last.examples != 0) ||
             model->examples < model->running.examples + model->last.examples)
        err = err_set(why, ERR_INVALID, "an online model with figures that no model has");
    if (err)
        online_free(model);
    else
        *out = model;
    return err;
}
