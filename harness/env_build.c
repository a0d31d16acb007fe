/*
 * env_build.c - facts about the binary and where it runs: groups build, libc, libraries, scheduler
 * (the batch system's, not the kernel's), host.
 *
 * The Makefile defines THREADLAB_VERSION, THREADLAB_REVISION, THREADLAB_CFLAGS (strings) and
 * THREADLAB_DIRTY (0 or 1) for this file; what is not defined is unknown.
 */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "env_read.h"

#include "pmu.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

/* What is different in two builds of the same code stands in a section of its own, of fixed size:
 * `threadlab compare` leaves it out when it asks whether two binaries are the same. */
#ifndef THREADLAB_REVISION
#define THREADLAB_REVISION ""
#endif
#ifdef THREADLAB_DIRTY
#define DIRTY ((THREADLAB_DIRTY) ? 'y' : 'n')
#else
#define DIRTY '?'
#endif
static const struct {
    char dirty, revision[95];
} stamp __attribute__((used, section(".threadlab.stamp"))) = {DIRTY, THREADLAB_REVISION};

static void build_facts(struct env_reader *r)
{
    const char *dirty = &stamp.dirty, *revision = stamp.revision;
    char path[PATH_MAX], hex[65];
    int error;

    __asm__("" : "+r"(dirty), "+r"(revision)); /* no code may depend on what is in the section */
#ifdef THREADLAB_VERSION
    env_text(r, "build", "version", THREADLAB_VERSION);
#else
    env_unknown(r, "build", "version", "built without -DTHREADLAB_VERSION");
#endif
    if (revision[0] == '\0')
        env_unknown(r, "build", "revision", "built without -DTHREADLAB_REVISION");
    else if (strcmp(revision, "unknown") == 0)
        env_unknown(r, "build", "revision", "not built from a git checkout");
    else
        env_text(r, "build", "revision", revision);
    if (*dirty == '?')
        env_unknown(r, "build", "dirty", "built without -DTHREADLAB_DIRTY");
    else
        env_flag(r, "build", "dirty", *dirty == 'y');
#ifdef THREADLAB_CFLAGS
    env_text(r, "build", "cflags", THREADLAB_CFLAGS);
#else
    env_unknown(r, "build", "cflags", "built without -DTHREADLAB_CFLAGS");
#endif
#if defined(__clang__)
    env_text(r, "build", "compiler", __VERSION__);
#else
    env_text(r, "build", "compiler", "gcc " __VERSION__);
#endif

    snprintf(path, sizeof(path), "%s/proc/self/exe", r->root);
    error = env_sha256(path, hex);
    if (error)
        env_unknown(r, "build", "sha256", "/proc/self/exe: %s", strerror(error));
    else
        env_text(r, "build", "sha256", hex);
}

static void variable_fact(struct env_reader *r, const char *group, const char *key,
                          const char *variable)
{
    const char *value = getenv(variable);

    if (value && value[0])
        env_text(r, group, key, value);
    else
        env_unknown(r, group, key, "%s is not set", variable);
}

/* A hint, not a proof: a container does not have to say that it is one. */
static void container_fact(struct env_reader *r)
{
    static const struct {
        const char *path, *name;
    } marks[] = {{"/.dockerenv", "docker"}, {"/run/.containerenv", "podman"}};
    char text[ENV_LINE], path[PATH_MAX];

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        snprintf(path, sizeof(path), "%s%s", r->root, marks[i].path);
        if (access(path, F_OK) == 0) {
            env_text(r, "host", "container", marks[i].name);
            return;
        }
    }
    if (env_slurp(r, "/run/systemd/container", text, sizeof(text)) == 0 && text[0])
        env_text(r, "host", "container", text);
    else if (env_slurp(r, "/proc/self/cgroup", text, sizeof(text)))
        env_unknown(r, "host", "container", "/proc/self/cgroup cannot be read");
    else if (strstr(text, "kubepods"))
        env_text(r, "host", "container", "kubernetes");
    else if (strstr(text, "docker"))
        env_text(r, "host", "container", "docker");
    else if (strstr(text, "lxc"))
        env_text(r, "host", "container", "lxc");
    else
        env_text(r, "host", "container", "none seen");
}

static void host_facts(struct env_reader *r)
{
    char name[256];

    if (gethostname(name, sizeof(name)) == 0) {
        name[sizeof(name) - 1] = '\0';
        env_text(r, "host", "name", name);
    } else {
        env_unknown(r, "host", "name", "gethostname: %s", strerror(errno));
    }
    env_file_text(r, "host", "boot_id", "/proc/sys/kernel/random/boot_id");
    env_file_text(r, "host", "vendor", "/sys/class/dmi/id/sys_vendor");
    env_file_text(r, "host", "product", "/sys/class/dmi/id/product_name");
    container_fact(r);
}

/* What runs the machine, in the words of the firmware or the CPU; see also cpu.hypervisor. */
static void virtualization_fact(struct env_reader *r)
{
    const struct env_fact *cpu = env_find(r->env, "cpu", "hypervisor");
    char text[128];

    if (env_slurp(r, "/sys/hypervisor/type", text, sizeof(text)) == 0 && text[0])
        env_text(r, "host", "virtualization", text);
    else if (!cpu || !cpu->known)
        env_unknown(r, "host", "virtualization", "neither the CPU nor /sys/hypervisor tells");
    else if (strcmp(cpu->text, "none") == 0)
        env_text(r, "host", "virtualization", "none");
    else if (strcmp(cpu->text, "KVMKVMKVM") == 0)
        env_text(r, "host", "virtualization", "kvm");
    else if (strcmp(cpu->text, "Microsoft Hv") == 0)
        env_text(r, "host", "virtualization", "hyperv");
    else if (strcmp(cpu->text, "VMwareVMware") == 0)
        env_text(r, "host", "virtualization", "vmware");
    else if (strcmp(cpu->text, "XenVMMXenVMM") == 0)
        env_text(r, "host", "virtualization", "xen");
    else if (strncmp(cpu->text, "TCGTCGTCG", 9) == 0)
        env_text(r, "host", "virtualization", "qemu without acceleration");
    else
        env_text(r, "host", "virtualization", "other");
}

/* By its name, because only the files that write JSON include jansson.h. */
static void jansson_fact(struct env_reader *r)
{
    const char *(*version)(void);

    *(void **)&version = dlsym(RTLD_DEFAULT, "jansson_version_str");
    if (version)
        env_text(r, "libraries", "jansson", version());
    else
        env_unknown(r, "libraries", "jansson", "older than 2.13, or not linked dynamically");
}

void env_build_facts(struct env_reader *r)
{
    build_facts(r);
#ifdef __GLIBC__
    env_text(r, "libc", "name", "glibc");
    env_text(r, "libc", "version", gnu_get_libc_version());
#else
    env_text(r, "libc", "name", "not glibc");
    env_unknown(r, "libc", "version", "this C library does not tell its version");
#endif
    env_text(r, "libraries", "libpfm4", pmu_library_version());
    jansson_fact(r);
    variable_fact(r, "scheduler", "slurm_job_id", "SLURM_JOB_ID");
    variable_fact(r, "scheduler", "slurm_nodelist", "SLURM_JOB_NODELIST");
    variable_fact(r, "scheduler", "slurm_cluster", "SLURM_CLUSTER_NAME");
    host_facts(r);
    virtualization_fact(r);
}
