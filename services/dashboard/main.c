/* SPDX-License-Identifier: Apache-2.0
 * main.c - the dashboard service: the pages for analysts, their REST interface, and the review queue. It takes no part
 * in decisions. */
#include <stdlib.h>

#include "app/must.h"
#include "app/service.h"
#include "dashboard.h"

int main(int argc, char **argv)
{
    struct service_about about = {
        .name = "dashboard",
        .purpose = "pages for analysts, and their REST interface",
        .port = "8090",
        .admin_port = "9106",
        .is_edge = true,
        .settings = dashboard_fields,
        .setting_count = dashboard_field_count,
    };
    struct dashboard_settings conf = { 0 };
    struct why why = { 0 };
    struct service *app = service_open(argc, argv, &about, &conf);
    struct dashboard *dashboard;

    must(dashboard_open(&dashboard, app, &conf, &why), "start", &why);
    service_run(app); /* until SIGTERM and the last reply in flight */
    dashboard_close(dashboard);
    service_close(app);
    return EXIT_SUCCESS;
}
