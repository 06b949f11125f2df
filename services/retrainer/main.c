/* SPDX-License-Identifier: Apache-2.0
 * main.c - the retrainer service: trains on schedule and when asked, holds each candidate to its gates, carries
 * it through shadow and A/B, and takes back what went wrong. `retrainer --run N` is the process that trains. */
#include <stdlib.h>
#include <string.h>

#include "app/must.h"
#include "app/service.h"
#include "base/slice.h"
#include "retrainer.h"
#include "training.h"

int main(int argc, char **argv)
{
    struct service_about about = {
        .name = "retrainer",
        .purpose = "trains, tries, promotes and takes back models",
        .port = "9005",
        .admin_port = "9105",
        .settings = retrainer_fields,
        .setting_count = retrainer_field_count,
    };
    struct retrainer_settings conf = { 0 };
    struct why why = { 0 };
    struct service *app;
    struct retrainer *retrainer;
    int64_t run;

    if (argc == 3 && strcmp(argv[1], "--run") == 0 && slice_to_i64(slice_str(argv[2]), &run))
        return training_main(run);
    app = service_open(argc, argv, &about, &conf);
    must(retrainer_open(&retrainer, app, &conf, &why), "start", &why);
    service_run(app); /* until SIGTERM and the last reply in flight */
    retrainer_close(retrainer);
    service_close(app);
    return EXIT_SUCCESS;
}
