/* SPDX-License-Identifier: Apache-2.0
 * place_test.c - distances against the closed forms of a sphere, and a published one. */
#include "fraud/place.h"

#include <criterion/criterion.h>
#include <math.h>

Test(place, distances_are_those_of_a_sphere)
{
    static const double quarter = 6371.0088 * 3.14159265358979323846 / 2;

    cr_assert_float_eq(place_distance_km(0, 0, 90, 17), quarter, 1e-6);
    cr_assert_float_eq(place_distance_km(0, 0, 0, 180), 2 * quarter, 1e-6);
    cr_assert_float_eq(place_distance_km(10, 20, 10, 20), 0, 1e-9);
    cr_assert_float_eq(place_distance_km(5, 179.5, 5, -179.5), place_distance_km(5, 0, 5, 1), 1e-6);
    /* Nashville to Los Angeles airport, as Rosetta Code gives it for 6372.8 km: 2887.2599506 km. */
    cr_assert_float_eq(place_distance_km(36.12, -86.67, 33.94, -118.40),
                       2887.2599506071106 * 6371.0088 / 6372.8, 1e-6);
}
