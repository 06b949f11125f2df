/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/metrics.h"

#include <assert.h>
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/mem.h"

/* Bounds as the text has them, and as the hot path compares them. */
static const struct {
    int64_t us;
    const char *seconds;
} time_bounds[] = {
    { 50, "5e-05" },    { 100, "0.0001" },  { 250, "0.00025" }, { 500, "0.0005" },  { 1000, "0.001" },
    { 2500, "0.0025" }, { 5000, "0.005" },  { 10000, "0.01" },  { 25000, "0.025" }, { 50000, "0.05" },
    { 100000, "0.1" },  { 250000, "0.25" }, { 500000, "0.5" },  { 1000000, "1" },
};
enum { TIME_BOUNDS = ARRAY_LEN(time_bounds), SIZE_BOUNDS = 11, BOUNDS_MAX = TIME_BOUNDS };

struct series {
    double value;                     /* counters and gauges; a histogram's sum (us or items) */
    uint64_t buckets[BOUNDS_MAX + 1]; /* not cumulative; the last one is +Inf */
    char *labels;                     /* `{route="/v1"}` without its braces; "" */
};

struct family {
    const struct metric *about;
    struct series *series;
    size_t count, cap;
};

struct metric_set {
    struct family *families;
    size_t count;
    struct metric_set *next;
};

struct collector {
    void (*collect)(void *ctx);
    void *ctx;
};

struct metrics {
    struct metric_set *sets, **sets_last;
    struct collector *collectors;
    size_t collector_count, collector_cap;
    double started_at; /* seconds since 1970 */
};

static size_t bound_count(enum metric_kind kind)
{
    return kind == METRIC_HISTOGRAM ? TIME_BOUNDS : kind == METRIC_SIZES ? SIZE_BOUNDS : 0;
}

static size_t label_count(const struct metric *m)
{
    size_t n = 0;

    while (n < METRIC_LABELS && m->labels[n])
        n++;
    return n;
}

struct metrics *metrics_new(void)
{
    struct metrics *m = mem_new(struct metrics);
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    m->started_at = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    m->sets_last = &m->sets;
    return m;
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    while (m->sets) {
        struct metric_set *set = m->sets;

        m->sets = set->next;
        for (size_t i = 0; i < set->count; i++) {
            for (size_t k = 0; k < set->families[i].count; k++)
                mem_free(set->families[i].series[k].labels);
            mem_free(set->families[i].series);
        }
        mem_free(set->families);
        mem_free(set);
    }
    mem_free(m->collectors);
    mem_free(m);
}

static size_t family_add_series(struct family *f, const char *labels)
{
    ARRAY_RESERVE_ONE(f->series, f->count, f->cap);
    f->series[f->count] = (struct series){ .labels = mem_strdup(labels) };
    return f->count++;
}

struct metric_set *metrics_add(struct metrics *m, const struct metric *table, size_t count)
{
    struct metric_set *set;

    for (set = m->sets; set; set = set->next)
        if (set->count && set->families[0].about == table)
            return set;
    set = mem_new(struct metric_set);
    set->families = mem_new_n(struct family, count);
    set->count = count;
    for (size_t i = 0; i < count; i++) {
        assert(table[i].name && table[i].help);
        set->families[i].about = &table[i];
        if (label_count(&table[i]) == 0)
            family_add_series(&set->families[i], "");
    }
    *m->sets_last = set;
    m->sets_last = &set->next;
    return set;
}

/* name="value", with the value's backslashes, quotes and line ends escaped as the format has it. */
static void add_label(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s%s=\"", out->len ? "," : "", name);
    for (; *value; value++) {
        if (*value == '\n')
            buf_add_str(out, "\\n");
        else if (*value == '"' || *value == '\\')
            buf_printf(out, "\\%c", *value);
        else
            buf_add_char(out, *value);
    }
    buf_add_char(out, '"');
}

size_t metric_series(struct metric_set *set, size_t metric, const char *value, const char *value2)
{
    struct family *f = &set->families[metric];
    size_t labels = label_count(f->about), found;
    const char *values[METRIC_LABELS] = { value, value2 };
    struct buf text;

    assert(metric < set->count);
    if (labels == 0)
        return f->count ? 0 : family_add_series(f, "");
    buf_init(&text, 0);
    for (size_t i = 0; i < labels; i++)
        add_label(&text, f->about->labels[i], values[i] ? values[i] : "");
    for (found = 0; found < f->count; found++)
        if (strcmp(f->series[found].labels, buf_str(&text)) == 0)
            break;
    if (found == f->count && f->count == METRIC_SERIES_MAX - 1) {
        buf_clear(&text);
        for (size_t i = 0; i < labels; i++)
            add_label(&text, f->about->labels[i], "other");
    }
    if (found == METRIC_SERIES_MAX)
        found = METRIC_SERIES_MAX - 1;
    else if (found == f->count)
        family_add_series(f, buf_str(&text));
    buf_release(&text);
    return found;
}

static struct series *at(const struct metric_set *set, size_t metric, size_t series)
{
    assert(metric < set->count && series < set->families[metric].count);
    return &set->families[metric].series[series];
}

void metric_clear(struct metric_set *set, size_t metric)
{
    struct family *f = &set->families[metric];

    assert(metric < set->count);
    for (size_t i = 0; i < f->count; i++)
        mem_free(f->series[i].labels);
    f->count = 0;
}

void metric_inc(struct metric_set *set, size_t metric, size_t series)
{
    at(set, metric, series)->value += 1;
}

void metric_add(struct metric_set *set, size_t metric, size_t series, double amount)
{
    at(set, metric, series)->value += amount;
}

void metric_put(struct metric_set *set, size_t metric, size_t series, double value)
{
    at(set, metric, series)->value = value;
}

void metric_observe_us(struct metric_set *set, size_t metric, size_t series, int64_t us)
{
    struct series *s = at(set, metric, series);
    size_t i = 0;

    assert(set->families[metric].about->kind == METRIC_HISTOGRAM);
    while (i < TIME_BOUNDS && us > time_bounds[i].us)
        i++;
    s->buckets[i]++;
    s->value += (double)us;
}

void metric_observe_size(struct metric_set *set, size_t metric, size_t series, uint64_t size)
{
    struct series *s = at(set, metric, series);
    size_t i = 0;

    assert(set->families[metric].about->kind == METRIC_SIZES);
    while (i < SIZE_BOUNDS && size > UINT64_C(1) << i)
        i++;
    s->buckets[i]++;
    s->value += (double)size;
}

static uint64_t observed(const struct series *s, size_t bounds)
{
    uint64_t n = 0;

    for (size_t i = 0; i <= bounds; i++)
        n += s->buckets[i];
    return n;
}

double metric_value(const struct metric_set *set, size_t metric, size_t series)
{
    size_t bounds = bound_count(set->families[metric].about->kind);

    return bounds ? (double)observed(at(set, metric, series), bounds) : at(set, metric, series)->value;
}

void metrics_on_write(struct metrics *m, void (*collect)(void *ctx), void *ctx)
{
    ARRAY_RESERVE_ONE(m->collectors, m->collector_count, m->collector_cap);
    m->collectors[m->collector_count++] = (struct collector){ collect, ctx };
}

static void write_value(struct buf *out, double value)
{
    if (isnan(value))
        buf_add_str(out, "NaN");
    else if (isinf(value))
        buf_add_str(out, value > 0 ? "+Inf" : "-Inf");
    else
        buf_printf(out, "%.17g", value);
    buf_add_char(out, '\n');
}

static void write_sample(struct buf *out, const char *name, const char *suffix, const char *labels,
                         double value)
{
    buf_printf(out, labels[0] ? "%s%s{%s} " : "%s%s%s ", name, suffix, labels);
    write_value(out, value);
}

static void write_histogram(struct buf *out, const struct metric *m, const struct series *s)
{
    bool is_time = m->kind == METRIC_HISTOGRAM;
    size_t bounds = bound_count(m->kind);
    const char *comma = s->labels[0] ? "," : "";
    uint64_t below = 0;

    for (size_t i = 0; i < bounds; i++) {
        below += s->buckets[i];
        if (is_time)
            buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", m->name, s->labels, comma,
                       time_bounds[i].seconds, below);
        else
            buf_printf(out, "%s_bucket{%s%sle=\"%d\"} %" PRIu64 "\n", m->name, s->labels, comma, 1 << i,
                       below);
    }
    below += s->buckets[bounds];
    buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", m->name, s->labels, comma, below);
    write_sample(out, m->name, "_sum", s->labels, is_time ? s->value / 1e6 : s->value);
    write_sample(out, m->name, "_count", s->labels, (double)below);
}

static void write_family(struct buf *out, const struct family *f)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter",
        [METRIC_GAUGE] = "gauge",
        [METRIC_HISTOGRAM] = "histogram",
        [METRIC_SIZES] = "histogram",
    };
    const struct metric *m = f->about;

    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, types[m->kind]);
    for (size_t i = 0; i < f->count; i++) {
        if (bound_count(m->kind))
            write_histogram(out, m, &f->series[i]);
        else
            write_sample(out, m->name, "", f->series[i].labels, f->series[i].value);
    }
}

static double open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = -1; /* for the directory itself */

    if (!dir)
        return NAN;
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static double descriptors_limit(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) ? NAN : (double)limit.rlim_cur;
}

/* In bytes: all that is mapped, and what of it is in memory. */
static void measure_memory(double *mapped, double *resident)
{
    FILE *f = fopen("/proc/self/statm", "re");
    long pages[2] = { 0 };

    *mapped = *resident = NAN;
    if (!f)
        return;
    if (fscanf(f, "%ld %ld", &pages[0], &pages[1]) == 2) {
        *mapped = (double)pages[0] * (double)sysconf(_SC_PAGESIZE);
        *resident = (double)pages[1] * (double)sysconf(_SC_PAGESIZE);
    }
    fclose(f);
}

/* The names that Prometheus' own client libraries give. */
static void write_process(const struct metrics *m, struct buf *out)
{
    struct timespec cpu = { 0 };
    double mapped, resident;

    measure_memory(&mapped, &resident);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    const double cpu_s = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        { "process_cpu_seconds_total", "counter", "User and system CPU time", cpu_s },
        { "process_resident_memory_bytes", "gauge", "Resident memory", resident },
        { "process_virtual_memory_bytes", "gauge", "Mapped memory", mapped },
        { "process_open_fds", "gauge", "Open file descriptors", open_descriptors() },
        { "process_max_fds", "gauge", "Limit of open file descriptors", descriptors_limit() },
        { "process_start_time_seconds", "gauge", "Start, seconds since 1970", m->started_at },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[i].name, rows[i].help, rows[i].name,
                   rows[i].type);
        write_sample(out, rows[i].name, "", "", rows[i].value);
    }
}

void metrics_write(struct metrics *m, struct buf *out)
{
    for (size_t i = 0; i < m->collector_count; i++)
        m->collectors[i].collect(m->collectors[i].ctx);
    for (const struct metric_set *set = m->sets; set; set = set->next)
        for (size_t i = 0; i < set->count; i++)
            write_family(out, &set->families[i]);
    write_process(m, out);
}
