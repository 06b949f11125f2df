/* SPDX-License-Identifier: Apache-2.0
 * main.c - the monitor service: counts what is decided and what labels say of it, sees when either is not what it
 * was, says so, and asks for a new model. It reads the log and the decisions, and can write neither. */
#include <stdlib.h>

#include "app/must.h"
#include "app/service.h"
#include "monitor.h"

int main(int argc, char **argv)
{
    struct service_about about = {
        .name = "monitor",
        .purpose = "watches data, drift and the quality of models",
        .port = "9004",
        .admin_port = "9104",
        .settings = monitor_fields,
        .setting_count = monitor_field_count,
    };
    struct monitor_settings conf = { 0 };
    struct why why = { 0 };
    struct service *app = service_open(argc, argv, &about, &conf);
    struct monitor *monitor;

    must(monitor_open(&monitor, app, &conf, &why), "start", &why);
    service_run(app); /* until SIGTERM and the last reply in flight */
    monitor_close(monitor);
    service_close(app);
    return EXIT_SUCCESS;
}
