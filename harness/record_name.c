/* record_name.c - what a run is called and where its record goes. See record.h. */
#include "record.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

void record_name(struct record_run *run)
{
    struct timespec now;
    struct tm tm;
    unsigned noise = 0;
    char stamp[24];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    if (getrandom(&noise, sizeof noise, 0) != (ssize_t)sizeof noise)
        noise = (unsigned)getpid() ^ (unsigned)now.tv_nsec;
    snprintf(run->id, sizeof run->id, "%s-%04x", stamp, noise & 0xffff);
    run->started_unix_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if (gethostname(run->host, sizeof run->host) || !run->host[0])
        snprintf(run->host, sizeof run->host, "unknown-host");
    run->host[sizeof run->host - 1] = '\0';
    for (char *p = run->host; *p; p++)
        if (*p == '/' || *p <= ' ')
            *p = '-';
}

struct record *record_start(const struct record_run *run, const char *out, char *error, size_t size)
{
    char path[4096];
    size_t n = out ? strlen(out) : 0;
    if (!out || (n && out[n - 1] == '/')) {
        snprintf(path, sizeof path, "%s%s/%s/%s.%s.jsonl", out ? out : "results/", run->host,
                 run->id, run->host, run->id);
        out = path;
    }
    return record_create(out, error, size);
}

uint64_t record_random_seed(void)
{
    uint32_t value;
    if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value)
        value = (uint32_t)time(NULL);
    return value;
}
