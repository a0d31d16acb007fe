/*
 * init.c - the first process of the emulated machine of scripts/lab: runs one command, hands out
 * what it wrote, and ends the machine.
 *
 *     mount /proc, /sys, /dev, /tmp
 *     /lab/command: words, each ended by a NUL; words of the form NAME=VALUE before the first other
 *                   one go to the environment
 *     run the command in /lab/out; its standard output goes to the host's file "stdout" as it
 *     comes, its standard error to the console
 *     hand out /lab/out, file by file
 *     hand out "status", and end the machine with it
 *
 * Out of the machine leads semihosting (Arm, "Semihosting for AArch32 and AArch64", 2.0): one
 * instruction, `hlt 0xf000`, at which the emulator itself reads a buffer and writes a file of the
 * host. Compared with a disk or a serial line it takes no driver and no interrupt, so nothing that
 * depends on the host's time reaches the guest. Static, for it is here before anything else.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND "/lab/command"
#define OUT "/lab/out"
#define COMMAND_MAX 65536
#define WORDS_MAX 512
#define CHUNK 65536
/* A driver that cannot even be started; not one of its own statuses. */
#define STATUS_NO_START 127

/* ---- semihosting ------------------------------------------------------------------------------
 */

enum { SEMI_OPEN = 0x01, SEMI_CLOSE = 0x02, SEMI_WRITE = 0x05, SEMI_EXIT = 0x18 };
#define SEMI_MODE_WB 5
#define SEMI_APPLICATION_EXIT 0x20026

/* x0 = hlt 0xf000 (w0: operation, x1: its parameters). */
static long semi(int operation, const uint64_t *parameters)
{
    register uint64_t x0 __asm__("x0") = (uint64_t)operation;
    register const uint64_t *x1 __asm__("x1") = parameters;

    __asm__ volatile("hlt 0xf000" : "+r"(x0) : "r"(x1) : "memory");
    return (long)x0;
}

static long semi_open(const char *name)
{
    uint64_t p[3] = {(uintptr_t)name, SEMI_MODE_WB, strlen(name)};

    return semi(SEMI_OPEN, p);
}

/* True: all n bytes are written. */
static bool semi_write(long handle, const void *buffer, size_t n)
{
    uint64_t p[3] = {(uint64_t)handle, (uintptr_t)buffer, n};

    return n == 0 || semi(SEMI_WRITE, p) == 0;
}

static void semi_close(long handle)
{
    uint64_t p[1] = {(uint64_t)handle};

    semi(SEMI_CLOSE, p);
}

_Noreturn static void semi_exit(int status)
{
    uint64_t p[2] = {SEMI_APPLICATION_EXIT, (uint64_t)status};

    semi(SEMI_EXIT, p);
    for (;;)
        pause(); /* not reached: the deadline of the host ends it */
}

/* ---- files ------------------------------------------------------------------------------------
 */

/* The buffer lies in memory that has been touched: the emulator does not fault pages in. */
static char chunk[CHUNK] = {1};

static bool hand_out(int fd, const char *name)
{
    long handle = semi_open(name);
    ssize_t n = 0;
    bool ok = handle >= 0;

    while (ok && (n = read(fd, chunk, sizeof(chunk))) > 0)
        ok = semi_write(handle, chunk, (size_t)n);
    if (handle >= 0)
        semi_close(handle);
    return ok && n == 0;
}

/* All files below the folder, by their paths with '+' for '/': the host has one flat folder.
 * Returns how many failed. */
static int hand_out_folder(const char *folder, const char *prefix)
{
    DIR *dir = opendir(folder);
    int failed = dir ? 0 : 1;
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        char path[1024], name[1024];
        struct stat st;

        if (entry->d_name[0] == '.' ||
            snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >= (int)sizeof(path) ||
            snprintf(name, sizeof(name), "%s%s", prefix, entry->d_name) >= (int)sizeof(name) - 1 ||
            lstat(path, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode)) {
            strcat(name, "+");
            failed += hand_out_folder(path, name);
        } else if (S_ISREG(st.st_mode)) {
            int fd = open(path, O_RDONLY | O_CLOEXEC);

            failed += fd < 0 || !hand_out(fd, name);
            if (fd >= 0)
                close(fd);
        }
    }
    if (dir)
        closedir(dir);
    return failed;
}

/* ---- the command ------------------------------------------------------------------------------
 */

static void mounts(void)
{
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mkdir("/dev", 0755);
    mkdir("/tmp", 01777);
    mkdir(OUT, 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, "mode=0755");
    mkdir("/dev/shm", 01777);
    mkdir("/dev/pts", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL);
    mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777");
    mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777");
    mount("tmpfs", OUT, "tmpfs", 0, "mode=0755");
    mount("devpts", "/dev/pts", "devpts", 0, "ptmxmode=0666");
}

static void setting(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        fprintf(stderr, "lab: %s: %s\n", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* Checks talk to themselves by TCP. */
static void loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0)
        fprintf(stderr, "lab: the loopback device: %s\n", strerror(errno));
    if (fd >= 0)
        close(fd);
}

static char *words[WORDS_MAX]; /* the command; ended by NULL */

/* Fills words[], which text keeps. Returns 0 or an error number. */
static int read_command(char *text)
{
    int fd = open(COMMAND, O_RDONLY | O_CLOEXEC), n = 0;
    ssize_t got = fd < 0 ? -1 : read(fd, text, COMMAND_MAX - 1);

    if (got <= 0)
        return fd < 0 ? errno : EIO;
    close(fd);
    text[got] = '\0';
    for (char *w = text; w < text + got && n < WORDS_MAX - 1; w += strlen(w) + 1) {
        char *equals = strchr(w, '=');

        if (n == 0 && equals && *w != '/') {
            *equals = '\0';
            setenv(w, equals + 1, 1);
            w = equals + 1;
        } else {
            words[n++] = w;
        }
    }
    words[n] = NULL;
    return n ? 0 : EINVAL;
}

static volatile sig_atomic_t ended_already;

static void on_ended(int sig)
{
    (void)sig;
    ended_already = 1;
}

/* Hands out what the command writes while it runs: of a machine that hangs the host has the rest.
 */
static void copy_out(int from)
{
    long handle = semi_open("stdout");
    struct sigaction action = {.sa_handler = on_ended}; /* interrupts read */
    ssize_t n;

    sigaction(SIGTERM, &action, NULL);
    for (;;) {
        if (ended_already) /* what is in the pipe, and no waiting for orphans that hold it */
            fcntl(from, F_SETFL, O_NONBLOCK);
        n = read(from, chunk, sizeof(chunk));
        if (n > 0)
            semi_write(handle, chunk, (size_t)n);
        else if (n == 0 || errno != EINTR)
            break;
    }
    semi_close(handle);
    _exit(0);
}

static pid_t start(void (*body)(int), int fd, int other)
{
    pid_t pid = fork();

    if (pid == 0) {
        close(other);
        body(fd);
    }
    return pid;
}

static void command(int out)
{
    setsid();
    if (chdir(OUT) == 0) {
        dup2(out, STDOUT_FILENO);
        close(out);
        execv(words[0], words);
    }
    fprintf(stderr, "lab: cannot run %s: %s\n", words[0], strerror(errno));
    _exit(STATUS_NO_START);
}

/* Returns the exit status as a shell gives it. */
static int run(void)
{
    int ends[2], status = 0;
    pid_t copier, pid, ended;

    if (pipe2(ends, 0) != 0)
        return STATUS_NO_START;
    copier = start(copy_out, ends[0], ends[1]);
    pid = start(command, ends[1], ends[0]);
    close(ends[0]);
    close(ends[1]);
    do /* orphans of the command end up here */
        ended = wait(&status);
    while (ended != pid && !(ended < 0 && errno != EINTR));
    kill(copier, SIGTERM);
    waitpid(copier, NULL, 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* --lab-seed: moves the phase of the timer's ticks against the command. */
static void spin(void)
{
    const char *spins = getenv("LAB_SPINS");

    for (volatile long n = spins ? atol(spins) : 0; n > 0; n--)
        ;
}

int main(void)
{
    static char text[COMMAND_MAX];
    int err, status, fd;
    char line[32];
    long handle;

    mounts();
    fd = open("/dev/console", O_RDWR);
    for (int to = 0; fd >= 0 && to < 3; to++)
        dup2(fd, to);
    setenv("PATH", "/bin:/usr/bin", 1);
    setenv("HOME", "/", 1);
    sethostname("lab", 3);
    /* The reasons are in scripts/lab_machine.py. */
    setting("/proc/sys/kernel/randomize_va_space", "0");
    setting("/proc/sys/kernel/perf_event_paranoid", "-1");
    setting("/proc/sys/kernel/printk", "1");
    /* By default what one eighth of the memory holds: 7,158 of 1 GiB. create.many takes 10,000. */
    setting("/proc/sys/kernel/threads-max", "30000");
    loopback_up();
    err = read_command(text);
    if (err)
        fprintf(stderr, "lab: %s: %s\n", COMMAND, strerror(err));
    spin();
    status = err ? STATUS_NO_START : run();
    if (hand_out_folder(OUT, "out+")) {
        fprintf(stderr, "lab: not all files came out\n");
        status = STATUS_NO_START;
    }
    /* Written last: who finds it knows that all is there. */
    snprintf(line, sizeof(line), "%d\n", status);
    memcpy(chunk, line, sizeof(line));
    handle = semi_open("status");
    semi_write(handle, chunk, strlen(line));
    semi_close(handle);
    semi_exit(status);
}
