/* SPDX-License-Identifier: Apache-2.0
 * place.h - how far it is from one place on earth to another. */
#ifndef ASSAY_FRAUD_PLACE_H
#define ASSAY_FRAUD_PLACE_H

/* Along the great circle, by the haversine formula on a sphere with the earth's mean radius (IUGG, 6371.0088 km): within
 * 0.6 % of the ellipsoid. Latitudes and longitudes in degrees. */
double place_distance_km(double lat_a, double lon_a, double lat_b, double lon_b);

#endif
