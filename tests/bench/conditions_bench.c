/* SPDX-License-Identifier: Apache-2.0
 * conditions_bench.c - the machine, the versions of what stands beneath, and how busy and how quick the
 * machine is at this moment.
 *
 *   conditions_bench DIR      a directory on the disk that PostgreSQL will write to
 *
 * BENCH_COMMIT is printed as the version of Assay. */
#include <event2/event.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <nghttp2/nghttp2.h>
#include <openssl/crypto.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <xgboost/c_api.h>
#include <zstd.h>

#include "bench/child.h"
#include "bench/probe.h"
#include "bench/report.h"

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* What stands behind the first `name` and ':' or '=' in a file of the system. */
static const char *line_of(const char *path, const char *name, char line[256])
{
    FILE *f = fopen(path, "r");
    char *value = NULL;

    while (f && !value && fgets(line, 256, f))
        if (strncmp(line, name, strlen(name)) == 0 && (value = strpbrk(line, ":="))) {
            value += 1 + strspn(value + 1, " \t\"");
            value[strcspn(value, "\"\n")] = '\0';
        }
    if (f)
        fclose(f);
    return value ? value : "unknown";
}

static void report_versions(void)
{
    char text[256];
    struct utsname kernel;
    const char *postgres[] = { "/usr/lib/postgresql/15/bin/postgres", "--version", NULL };
    int major, minor, patch, status;
    char *said;

    uname(&kernel);
    report_text("versions/assay", getenv("BENCH_COMMIT") ? getenv("BENCH_COMMIT") : "unknown");
    report_text("versions/system", line_of("/etc/os-release", "PRETTY_NAME", text));
    snprintf(text, sizeof text, "%s %s", kernel.sysname, kernel.release);
    report_text("versions/kernel", text);
    report_text("versions/compiler", COMPILER);
    said = child_read(postgres, &status);
    said[strcspn(said, "\n")] = '\0';
    report_text("versions/PostgreSQL", status == 0 ? said : "not where Debian has it");
    free(said);
    snprintf(text, sizeof text, "%d.%d", PQlibVersion() / 10000, PQlibVersion() % 10000);
    report_text("versions/libpq", text);
    report_text("versions/nghttp2", nghttp2_version(0)->version_str);
    report_text("versions/libevent", event_get_version());
    XGBoostVersion(&major, &minor, &patch);
    snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    report_text("versions/XGBoost", text);
    report_text("versions/protobuf-c", protobuf_c_version());
    report_text("versions/jansson", JANSSON_VERSION);
    report_text("versions/zstd", ZSTD_versionString());
    report_text("versions/OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING));
}

static void report_machine(const char *dir)
{
    char text[256];
    double load[3] = { 0 };
    struct jitter jitter = probe_jitter(1);
    struct spread sync = probe_fdatasync(dir, 500);

    report_text("machine/processor", line_of("/proc/cpuinfo", "model name", text));
    report(&(struct result){
        .name = "machine/CPUs", .value = (double)sysconf(_SC_NPROCESSORS_ONLN), .unit = "CPUs" });
    report(
        &(struct result){ .name = "machine/memory",
                          .value = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 0x1p30,
                          .unit = "GiB" });
    if (getloadavg(load, 3) != 3)
        bench_fail("no load average");
    snprintf(text, sizeof text, "five minutes %.2f, fifteen %.2f: what ran before this bench", load[1],
             load[2]);
    report(&(struct result){
        .name = "machine/load average, one minute", .value = load[0], .unit = "tasks", .note = text });
    report(&(struct result){ .name = "machine/fdatasync of 8 KiB, p50", .value = sync.p50, .unit = "us" });
    report(&(struct result){ .name = "machine/fdatasync of 8 KiB, p99", .value = sync.p99, .unit = "us" });
    report(&(struct result){
        .name = "machine/time a ready thread did not run", .value = jitter.lost_share * 100, .unit = "%" });
    report(&(struct result){
        .name = "machine/longest wait of a ready thread", .value = jitter.worst_us, .unit = "us" });
}

int main(int argc, char **argv)
{
    if (argc != 2)
        bench_fail("usage: conditions_bench DIR");
    report_machine(argv[1]);
    report_versions();
    return EXIT_SUCCESS;
}
