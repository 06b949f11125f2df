/* SPDX-License-Identifier: Apache-2.0
 * table_bench.c - reads results, a line of JSON each (report.h), from standard input; prints the table and
 * writes all of them as one array.
 *
 *   table_bench build/bench.json <rows.ndjson */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report.h"
#include "json/json.h"

enum { LINE_MAX_BYTES = 1 << 16 };

/* "/" parts a name: what stands before it is printed once, as a heading. */
static size_t heading_len(const char *name)
{
    const char *slash = strchr(name, '/');

    return slash ? (size_t)(slash - name) : 0;
}

static const char *text_of(const json_t *row, const char *member)
{
    const char *text = json_string_value(json_object_get(row, member));

    return text ? text : "";
}

/* 1234567, 1234, 12.3, 0.12, 3.1e-07: no more digits than one reads. */
static const char *figure(char text[32], const json_t *number)
{
    double x = json_number_value(number);

    if (!json_is_number(number))
        return "-";
    if (x != 0 && fabs(x) < 0.01)
        snprintf(text, 32, "%.2g", x);
    else
        snprintf(text, 32, "%.*f",
                 x == 0 || fabs(x) >= 100 ? 0
                 : fabs(x) >= 10          ? 1
                 : fabs(x) >= 1           ? 2
                                          : 3,
                 x);
    return text;
}

static void print_row(const json_t *row, const char *last_name)
{
    const char *name = text_of(row, "name"), *against = text_of(row, "against"), *note = text_of(row, "note");
    const json_t *value = json_object_get(row, "value"), *met = json_object_get(row, "met");
    bool is_again = strcmp(name, last_name) == 0; /* the same result, another goal */
    size_t head = heading_len(name);
    char a[32], b[32], c[32];

    if (head != heading_len(last_name) || strncmp(name, last_name, head) != 0)
        printf("\n%.*s\n", (int)head, name);
    name += head + (head > 0);
    if (json_is_string(value)) {
        printf("  %-40s %s\n", name, json_string_value(value));
        return;
    }
    printf("  %-40s %10s %-12s %10s %8s  %-18s %s\n", is_again ? "" : name, is_again ? "" : figure(a, value),
           is_again ? "" : text_of(row, "unit"), is_again ? "" : figure(b, json_object_get(row, "baseline")),
           is_again ? "" : figure(c, json_object_get(row, "ratio")), text_of(row, "goal"),
           json_is_true(met)    ? "met"
           : json_is_false(met) ? "NOT MET"
                                : "");
    if (!is_again && (*against || *note))
        printf("  %-40s %s%s%s%s\n", "", *against ? "against " : "", against, *against && *note ? "; " : "",
               note);
}

int main(int argc, char **argv)
{
    static char line[LINE_MAX_BYTES];
    json_t *all = json_array(), *row;
    const char *last_name = "";
    struct why why = { 0 };
    size_t i, goals = 0, met = 0;
    FILE *out;

    if (argc != 2)
        bench_fail("usage: table_bench OUT <rows");
    while (fgets(line, sizeof line, stdin)) {
        if (line[0] != '{')
            continue;
        if (json_parse(&row, slice_str(line), JSON_DEPTH_MAX, &why))
            bench_fail("a result that cannot be read: %s", why.text);
        json_array_append_new(all, row);
    }
    printf("%-42s %10s %-12s %10s %8s  %s\n", "", "measured", "unit", "baseline", "ratio", "goal");
    json_array_foreach(all, i, row)
    {
        print_row(row, last_name);
        last_name = text_of(row, "name");
        goals += json_is_boolean(json_object_get(row, "met"));
        met += json_is_true(json_object_get(row, "met"));
    }
    printf("\n%zu of %zu goals met\n", met, goals);
    out = fopen(argv[1], "w");
    if (!out || json_dumpf(all, out, JSON_INDENT(1) | JSON_REAL_PRECISION(7)) || fputc('\n', out) == EOF ||
        fclose(out))
        bench_fail("cannot write %s", argv[1]);
    json_decref(all);
    return EXIT_SUCCESS;
}
