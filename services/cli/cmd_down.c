/* SPDX-License-Identifier: Apache-2.0
 * cmd_down.c - `assay down`: ends everything, and leaves no process behind. */
#include "command.h"

#include <signal.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "home.h"
#include "leftovers.h"

struct down {
    const char *home;
};

static const struct option options[] = {
    { "home", OPTION_TEXT, offsetof(struct down, home), "DIR", "where it runs (ASSAY_HOME, else ./var)" },
};

enum { LIMIT_S = 180, LOOK_MS = 10 };

/* Tells the supervisor, and waits until it has ended everything; kills it when it does not. */
static void end_supervisor(const char *home)
{
    int64_t until = clock_mono_us() + LIMIT_S * SECOND_US;
    struct state *s = mem_new(struct state);
    int sig = SIGTERM;

    while (home_is_locked(home)) {
        /* Read again each time: it may have been starting when we first looked. */
        if (!state_read(home, s, NULL) && process_is_alive(s->supervisor_pid, s->supervisor_ticks))
            kill(s->supervisor_pid, sig);
        for (int i = 0; i < 100 && home_is_locked(home); i++)
            nanosleep(&(struct timespec){ .tv_nsec = LOOK_MS * 1000000 }, NULL);
        if (clock_mono_us() > until)
            sig = SIGKILL;
    }
    mem_free(s);
}

static enum exit_code run(const void *settings, char **operands, size_t operand_count)
{
    const struct down *down = settings;
    char home[PATH_MAX];
    struct why why = { 0 };
    bool was_running;

    (void)operands;
    (void)operand_count;
    if (!home_find(home, down->home)) {
        printf("Nothing runs: there is no such directory.\n");
        return EXIT_DONE;
    }
    was_running = home_is_locked(home);
    if (was_running)
        end_supervisor(home);
    if (leftovers_end(home, &why))
        return command_fail(EXIT_FAILED, "%s", why.text);
    printf("%s in %s.\n", was_running ? "Assay is down" : "Nothing runs", home);
    return EXIT_DONE;
}

const struct command cmd_down = {
    .name = "down",
    .operands = "",
    .purpose = "End everything that `assay up` started",
    .text = "The services finish what they have in hand, then PostgreSQL ends. What a supervisor that was\n"
            "killed has left behind is ended too. Data stays.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .settings_size = sizeof(struct down),
    .run = run,
};
