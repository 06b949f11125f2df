/* SPDX-License-Identifier: Apache-2.0 */
#include "fraud/place.h"

#include <math.h>

static const double pi = 3.14159265358979323846, earth_km = 6371.0088;

double place_distance_km(double lat_a, double lon_a, double lat_b, double lon_b)
{
    double a = lat_a * pi / 180, b = lat_b * pi / 180;
    double up = sin((b - a) / 2), across = sin((lon_b - lon_a) * pi / 360);
    double h = up * up + cos(a) * cos(b) * across * across;

    return 2 * earth_km * asin(sqrt(h > 1 ? 1 : h));
}
