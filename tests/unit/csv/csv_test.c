/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "csv/csv.h"

/* Reads all of `text` in pieces of `step` bytes and writes what came: fields in <>, bad lines as !line. */
static void read_all(struct buf *out, const char *text, size_t step)
{
    struct csv csv;
    size_t len = strlen(text), at = 0;
    struct slice piece = { text, 0 };

    buf_clear(out);
    csv_init(&csv);
    for (;;) {
        enum csv_result result = csv_next(&csv, &piece, at == len);
        const struct slice *fields;
        size_t count;

        if (result == CSV_END)
            break;
        if (result == CSV_MORE) {
            size_t n = len - at < step ? len - at : step;

            piece = slice_of(text + at, n);
            at += n;
            continue;
        }
        if (result == CSV_BAD) {
            buf_printf(out, "!%llu;", (unsigned long long)csv_line(&csv));
            continue;
        }
        fields = csv_fields(&csv, &count);
        for (size_t i = 0; i < count; i++)
            buf_printf(out, "<%.*s>", SLICE_ARG(fields[i]));
        buf_printf(out, "%llu;", (unsigned long long)csv_line(&csv));
    }
    csv_release(&csv);
}

static const struct {
    const char *text, *expected;
} cases[] = {
    { "", "" },
    { "a,b\n", "<a><b>1;" },
    { "a,b", "<a><b>1;" },
    { "a,b\r\nc,d\r\n", "<a><b>1;<c><d>2;" },
    { ",\n", "<><>1;" },
    { "\n\n\na\n\n", "<a>4;" },
    { "\"a,b\",\"c\"\"d\",\"\"\n", "<a,b><c\"d><>1;" },
    { "\"two\nlines\",x\ny\n", "<two\nlines><x>1;<y>3;" },
    { "\"\"\n", "<>1;" },
    { "a\"b,c\nd,e\n", "!1;<d><e>2;" },
    { "\"a\"b,c\nd\n", "!1;<d>2;" },
    { "a\n\"never closed\n", "<a>1;!2;" },
    { "a\rb\nc\n", "!1;<c>2;" },
    { "a,\"\"\"\"\n", "<a><\">1;" },
    { "a,b\n c , d \n", "<a><b>1;< c >< d >2;" },
};

Test(csv, reads_records_as_rfc_4180_has_them_however_the_bytes_are_cut)
{
    struct buf out;

    buf_init(&out, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t step = 1; step < 9; step++) {
            read_all(&out, cases[i].text, step);
            cr_assert_str_eq(buf_str(&out), cases[i].expected, "case %zu in pieces of %zu", i, step);
        }
    }
    buf_release(&out);
}

Test(csv, a_record_over_a_mebibyte_costs_that_record_only)
{
    struct buf text, out;

    buf_init(&text, 0);
    buf_init(&out, 0);
    for (int i = 0; i < CSV_RECORD_MAX / 8 + 1; i++)
        buf_add_str(&text, "01234567");
    buf_add_str(&text, ",x\na,b\n");
    read_all(&out, buf_str(&text), 4096);
    cr_assert_str_eq(buf_str(&out), "!1;<a><b>2;");
    buf_clear(&text);
    for (int i = 0; i < CSV_FIELDS_MAX; i++)
        buf_add_str(&text, ",");
    buf_add_str(&text, "\na\n");
    read_all(&out, buf_str(&text), 4096);
    cr_assert_str_eq(buf_str(&out), "!1;<a>2;");
    buf_release(&text);
    buf_release(&out);
}
