/*
 * inspect.c - for who looks from outside. The thread table: the blocks that pool.c keeps, with what
 * the kernel says of their kernel threads: proc(5), /proc/self/task/TID/stat and syscall.
 *
 * The library itself does not know whether a thread runs, nor what it waits for: each wait is a
 * futex, and the kernel's.
 */
#include "thread.h"

#include "../common/peek.h"
#include "../common/sys.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <string.h>

/* Appends a number. Decimal, because it names a file. */
static char *put_number(char *to, unsigned n)
{
    char digits[12];
    unsigned used = 0;

    do {
        digits[used++] = (char)('0' + n % 10);
    } while (n /= 10);
    while (used)
        *to++ = digits[--used];
    return to;
}

/* Reads a file of /proc/self/task/TID; text ends with NUL. False: it cannot be read. */
static bool read_task(unsigned tid, const char *file, char *text, size_t size)
{
    char path[48] = "/proc/self/task/", *end = put_number(path + strlen(path), tid);
    long fd, n;

    *end++ = '/';
    memcpy(end, file, strlen(file) + 1);
    fd = SYS_CALL(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return false;
    n = SYS_CALL(SYS_read, fd, text, size - 1, 0, 0, 0);
    SYS_CALL(SYS_close, fd, 0, 0, 0, 0, 0);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static const char *state_word(char letter)
{
    switch (letter) {
    case 'R':
        return "running"; /* or about to: the kernel makes no difference here */
    case 'S':
        return "sleeping";
    case 'D':
        return "disk";
    case 'T':
    case 't':
        return "stopped";
    default:
        return "ending";
    }
}

/* "TID (name) S ..."; the name may hold any character. */
static void fill_stat(struct tl_thread_row *row, unsigned tid)
{
    char text[128], *name, *end;
    size_t size;

    row->state = "unknown";
    if (!read_task(tid, "stat", text, sizeof(text)))
        return;
    name = strchr(text, '(');
    end = strrchr(text, ')');
    if (!name || !end || end < name || !end[1])
        return;
    size = (size_t)(end - name - 1);
    if (size >= sizeof(row->name))
        size = sizeof(row->name) - 1;
    memcpy(row->name, name + 1, size);
    row->state = state_word(end[2]);
}

static uintptr_t hex(const char *text)
{
    uintptr_t value = 0;

    for (text += 2; *text && *text != ' ' && *text != '\n'; text++)
        value = value << 4 | (uintptr_t)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
    return value;
}

/* Of a thread that is in the kernel: "number arguments 0xSP 0xPC". Of one that runs: "running". */
static void fill_registers(struct tl_thread_row *row, unsigned tid)
{
    char text[256], *pc, *sp;

    if (!read_task(tid, "syscall", text, sizeof(text)))
        return;
    pc = strrchr(text, ' ');
    if (!pc || text[0] == 'r')
        return;
    *pc++ = '\0';
    sp = strrchr(text, ' ');
    if (!sp)
        return;
    row->pc = (const void *)hex(pc);
    row->sp = (const void *)hex(sp + 1);
}

static void fill_stack(struct tl_thread_row *row, const struct thread *t)
{
    const char *low = t->stack.low, *high = t->stack.high, *sp = row->sp;

    if (!low)
        return;
    row->low = low;
    row->stack_size = (size_t)(high - low);
    if (sp >= low && sp < high)
        row->stack_used = (size_t)(high - sp);
}

struct relay {
    void (*row)(const struct tl_thread_row *r, void *arg);
    void *arg;
};

static void tell(struct thread *t, void *arg)
{
    const struct relay *to = arg;
    uint64_t life = atomic_load_explicit(&t->life, memory_order_acquire);
    struct tl_thread_row row = {.bound = true};
    uint32_t tid;

    switch ((uint32_t)life) {
    case CLONE_LIFE_LIVE:
    case CLONE_LIFE_JOINED:
    case CLONE_LIFE_DETACHED:
    case CLONE_LIFE_FIRST:
        break;
    default:
        return;
    }
    /* In its TLS block, which is given back when it has ended. */
    if (peek(&tid, (const void *)t->tid, sizeof(tid)) || !tid)
        return;
    row.thread.id = pool_id(t);
    row.lwp = (int)tid;
    if (tid == CLONE_UNBORN) {
        row.lwp = -1;
        row.state = "new";
    } else {
        fill_stat(&row, tid);
        fill_registers(&row, tid);
    }
    if ((uint32_t)life != CLONE_LIFE_FIRST)
        fill_stack(&row, t);
    if (atomic_load_explicit(&t->life, memory_order_acquire) == life)
        to->row(&row, to->arg);
}

static int threads(void (*row)(const struct tl_thread_row *r, void *arg), void *arg)
{
    pool_each(tell, &(struct relay){row, arg});
    return 0;
}

bool clone_redzone_owner(const void *address, struct redzone_owner *o)
{
    const struct thread *t = thread_self();
    const char *at = address, *low = t->stack.low;

    if (!low || at >= low || at < low - t->stack.guard)
        return false;
    o->id = pool_id(t);
    SYS_CALL(SYS_prctl, PR_GET_NAME, o->name, 0, 0, 0, 0);
    o->low = low;
    o->size = (size_t)((const char *)t->stack.high - low);
    o->guard = t->stack.guard;
    return true;
}

const struct tl_inspect_ops clone_inspect = {.threads = threads};
