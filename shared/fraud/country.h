/* SPDX-License-Identifier: Apache-2.0
 * country.h - which two letters are a country (ISO 3166-1 alpha-2, and XK, which everybody uses for Kosovo).
 */
#ifndef ASSAY_FRAUD_COUNTRY_H
#define ASSAY_FRAUD_COUNTRY_H

#include <stdbool.h>

#include "base/slice.h"

bool country_is_known(struct slice code); /* upper case */

#endif
