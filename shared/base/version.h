/* SPDX-License-Identifier: Apache-2.0
 * version.h - which Assay this is. */
#ifndef ASSAY_BASE_VERSION_H
#define ASSAY_BASE_VERSION_H

#define ASSAY_VERSION "0.1.0"

#endif
