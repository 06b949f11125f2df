/* SPDX-License-Identifier: Apache-2.0
 * pg_test.c - what of shared/pg needs no server: the binary format, the classes of errors, the migrations'
 * numbers. */
#include <criterion/criterion.h>
#include <math.h>

#include "pg/migrate.h"
#include "pg/value.h"
#include "pg/wire.h"

Test(pg_value, writes_numbers_big_endian_and_times_from_2000)
{
    struct pg_params p = { 0 };
    struct pg_wire w;

    pg_add_i32(&p, 258);
    pg_add_time_us(&p, INT64_C(946684800000001));
    pg_wire_init(&w, &p);
    cr_assert_eq(w.count, 2);
    cr_assert_eq(memcmp(w.values[0], "\0\0\1\2", 4), 0);
    cr_assert_eq(memcmp(w.values[1], "\0\0\0\0\0\0\0\1", 8), 0);
    cr_assert_eq(w.types[1], 1184);
    pg_params_release(&p);
}

Test(pg_value, tells_null_from_empty)
{
    struct pg_params p = { 0 };
    struct pg_wire w;

    pg_add_null(&p);
    pg_add_bytes(&p, (struct slice){ 0 });
    pg_wire_init(&w, &p);
    cr_assert_null(w.values[0]);
    cr_assert_not_null(w.values[1]);
    cr_assert_eq(w.lengths[1], 0);
    pg_params_release(&p);
}

Test(pg_value, forgets_what_was_there_before_a_clear)
{
    struct pg_params p = { 0 };
    struct pg_wire w;

    pg_array_text(pg_add_array(&p, PG_TEXT), SLICE("long enough"));
    pg_params_clear(&p);
    pg_add_array(&p, PG_INT8);
    pg_wire_init(&w, &p);
    cr_assert_eq(w.count, 1);
    cr_assert_eq(w.lengths[0], 20);
    cr_assert_eq(w.types[0], 1016);
    pg_params_release(&p);
}

Test(pg_value, reads_integers_of_each_width_with_their_sign)
{
    cr_assert_eq(pg_bytes_int(slice_of("\xff\xfe", 2)), -2);
    cr_assert_eq(pg_bytes_int(slice_of("\xff\xff\xff\xfe", 4)), -2);
    cr_assert_eq(pg_bytes_int(slice_of("\0\0\0\1\0\0\0\0", 8)), INT64_C(1) << 32);
    cr_assert(isnan(pg_bytes_float((struct slice){ 0 })));
    cr_assert_eq(pg_bytes_float(slice_of("\x3f\x80\0\0", 4)), 1.0);
}

Test(pg_wire, sorts_errors_by_what_a_caller_can_do)
{
    cr_assert_eq(pg_err_of_sqlstate("22021"), ERR_INVALID);
    cr_assert_eq(pg_err_of_sqlstate("23505"), ERR_INVALID);
    cr_assert_eq(pg_err_of_sqlstate("40P01"), ERR_UNAVAILABLE);
    cr_assert_eq(pg_err_of_sqlstate("57P01"), ERR_UNAVAILABLE);
    cr_assert_eq(pg_err_of_sqlstate("57014"), ERR_TIMEOUT);
    cr_assert_eq(pg_err_of_sqlstate("25006"), ERR_UNAVAILABLE);
    cr_assert_eq(pg_err_of_sqlstate("42P01"), ERR_INTERNAL);
}

Test(migrations, are_numbered_without_a_gap)
{
    cr_assert_gt(migration_count, 0);
    for (size_t i = 0; i < migration_count; i++)
        cr_assert_eq(migrations[i].number, (int)i + 1, "%s", migrations[i].name);
}
