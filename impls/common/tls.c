/*
 * tls.c - see tls.h. The layout: U. Drepper, "ELF Handling For Thread-Local Storage" (2005),
 * section 3: x86-64 is variant II (struct pthread begins at the thread pointer, static TLS lies
 * below), aarch64 is variant I (struct pthread ends at the thread pointer, static TLS lies above).
 * Fields of struct pthread are found through the descriptors that glibc exports for debuggers
 * (nptl_db/structs.def), or through the kernel, and checked on the first thread's own block.
 */
#include "tls.h"

#include "sys.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <linux/rseq.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef RTLD_DEFAULT
#error "compile with -D_GNU_SOURCE"
#endif

/* The argument that glibc registers its rseq areas with; unregistering needs the same. */
#if defined(__x86_64__)
#define RSEQ_SIGNATURE 0x53053053
#elif defined(__aarch64__)
#define RSEQ_SIGNATURE 0xd428bc00
#endif

/* tcbhead_t of x86-64 (sysdeps/x86_64/nptl/tls.h); guards are known to the compiler. On aarch64
 * both guards are global, and only multiple_threads is used (offset 0 of struct pthread). */
struct x86_header {
    void *tcb;
    void *dtv;
    void *self;
    int multiple_threads;
    int unused;
    uintptr_t sysinfo, stack_guard, pointer_guard;
    unsigned long unused_vgetcpu[2];
    unsigned feature_1; /* shadow stacks and indirect branch tracking: as in the first thread */
};

/* Entry 0 of a DTV is a generation; its entry -1 says how many entries there are. */
union dtv {
    size_t counter;
    struct {
        void *value, *to_free;
    } pointer;
};

#define DTV_UNALLOCATED ((void *)-1)

struct node { /* list_t of glibc */
    struct node *next, *prev;
};

struct robust { /* struct robust_list_head of the kernel */
    void *list;
    long futex_offset;
    void *pending;
};

/* A module whose variables lie at a fixed distance from the thread pointer. The C library's own is
 * left out: its variables are malloc's caches, which would leak, and what fill and tls_start set.
 */
struct module {
    ptrdiff_t offset;
    const void *image;
    size_t image_size, size;
};
#define MODULES_MAX 64

/* Set once by tls_init, constant from then on. */
static struct {
    bool ready;
    char *first; /* the first thread's thread pointer */
    size_t size; /* of struct pthread */
    ptrdiff_t tid, list, robust,
        rseq; /* offsets from the thread pointer; robust and rseq: 0, none */
    void *(*allocate)(void *);
    void (*deallocate)(void *, bool);
    void (*call_dtors)(void);
    void (*free)(void *); /* of the malloc that the loader takes: a program may bring its own */
    ptrdiff_t error, ctype[3]; /* errno and the tables of <ctype.h>: offsets likewise */
    struct module modules[MODULES_MAX];
    size_t nmodules;
    char *single_threaded[2]; /* the C library's own variable and the program's copy */
    bool multi_threaded;
} tls;

void *tls_current(void)
{
    void *tp;

#if defined(__x86_64__)
    __asm__ volatile("mov %%fs:0x10, %0" : "=r"(tp));
#else
    __asm__ volatile("mrs %0, tpidr_el0" : "=r"(tp));
#endif
    return tp;
}

/* Where struct pthread begins. */
static char *descriptor(void *tp)
{
#if defined(__x86_64__)
    return tp;
#else
    return (char *)tp - tls.size;
#endif
}

static union dtv **dtv_of(void *tp)
{
#if defined(__x86_64__)
    return (union dtv **)&((struct x86_header *)tp)->dtv;
#else
    return tp;
#endif
}

/* ---- finding everything ---------------------------------------------------------------------- */

static int missing(char *reason, size_t size, const char *what)
{
    snprintf(reason, size, "the C library (glibc 2.36 is known to work) does not offer %s", what);
    return ENOSYS;
}

/* A debugger's description of a field: size in bits, number, offset in bytes. */
static bool field(const char *name, uint32_t bits, ptrdiff_t *offset)
{
    const uint32_t *d = dlsym(RTLD_DEFAULT, name);

    if (!d || d[0] != bits || d[1] != 1 || d[2] + bits / 8 > tls.size)
        return false;
    *offset = descriptor(tls.first) + d[2] - tls.first;
    return true;
}

static int find_functions(char *reason, size_t size)
{
    *(void **)&tls.allocate = dlsym(RTLD_DEFAULT, "_dl_allocate_tls");
    *(void **)&tls.deallocate = dlsym(RTLD_DEFAULT, "_dl_deallocate_tls");
    *(void **)&tls.call_dtors = dlsym(RTLD_DEFAULT, "__call_tls_dtors");
    *(void **)&tls.free = dlsym(RTLD_DEFAULT, "free");
    if (!tls.allocate || !tls.deallocate)
        return missing(reason, size, "_dl_allocate_tls");
    if (!tls.call_dtors)
        return missing(reason, size, "__call_tls_dtors");
    if (!tls.free)
        return missing(reason, size, "free");
    return 0;
}

/* A program may have its own copy of the variable (copy relocation), which the C library does not
 * read, and which other libraries do. */
static int find_single_threaded(char *reason, size_t size)
{
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);

    if (libc) {
        tls.single_threaded[0] = dlsym(libc, "__libc_single_threaded");
        dlclose(libc);
    }
    tls.single_threaded[1] = dlsym(RTLD_DEFAULT, "__libc_single_threaded");
    if (!tls.single_threaded[0] || !tls.single_threaded[1])
        return missing(reason, size, "__libc_single_threaded");
    return 0;
}

static int check_header(char *reason, size_t size)
{
#if defined(__x86_64__)
    const struct x86_header *h = (const struct x86_header *)tls.first;

    if (h->tcb != tls.first || h->self != tls.first)
        return missing(reason, size, "the thread header that is known here");
#endif
    if ((*dtv_of(tls.first))[-1].counter > 1u << 20)
        return missing(reason, size, "the DTV that is known here");
    return 0;
}

static int find_fields(char *reason, size_t size)
{
    const uint32_t *whole = dlsym(RTLD_DEFAULT, "_thread_db_sizeof_pthread");
    const ptrdiff_t *rseq = dlsym(RTLD_DEFAULT, "__rseq_offset");
    struct robust *head = NULL;
    const struct node *list;
    size_t length = 0;

    if (!whole || *whole < 256 || *whole > 65536)
        return missing(reason, size, "_thread_db_sizeof_pthread");
    tls.size = *whole;
    if (!field("_thread_db_pthread_tid", 32, &tls.tid))
        return missing(reason, size, "_thread_db_pthread_tid");
    if (*(int *)(tls.first + tls.tid) != getpid())
        return missing(reason, size, "the TID where _thread_db_pthread_tid says");
    if (!field("_thread_db_pthread_list", 8 * sizeof(struct node), &tls.list))
        return missing(reason, size, "_thread_db_pthread_list");
    list = (const struct node *)(tls.first + tls.list);
    if (!list->next || list->next->prev != list || list->prev->next != list)
        return missing(reason, size, "the list node where _thread_db_pthread_list says");
    tls.rseq = rseq ? *rseq : 0;
    if (!SYS_CALL(SYS_get_robust_list, 0, &head, &length, 0, 0, 0) && head &&
        length == sizeof(*head)) {
        ptrdiff_t inside = (char *)head - descriptor(tls.first);

        if (inside > 0 && (size_t)inside + sizeof(*head) <= tls.size)
            tls.robust = (char *)head - tls.first;
    }
    return 0;
}

/* Called for each loaded object. Answers 1 when there are more modules than there is room for. */
static int add_module(struct dl_phdr_info *info, size_t size, void *unused)
{
    const union dtv *dtv = *dtv_of(tls.first);
    size_t id = info->dlpi_tls_modid;
    const char *data;

    (void)size;
    (void)unused;
    if (!id || id > dtv[-1].counter || dtv[id].pointer.to_free ||
        dtv[id].pointer.value == DTV_UNALLOCATED || !dtv[id].pointer.value)
        return 0; /* has no variables, or they are allocated at their first use: see renew */
    data = dtv[id].pointer.value;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];

        if (p->p_type != PT_TLS || ((char *)&errno >= data && (char *)&errno < data + p->p_memsz))
            continue;
        if (tls.nmodules == MODULES_MAX)
            return 1;
        tls.modules[tls.nmodules++] = (struct module){
            .offset = data - tls.first,
            .image = (const char *)info->dlpi_addr + p->p_vaddr,
            .image_size = p->p_filesz,
            .size = p->p_memsz,
        };
    }
    return 0;
}

static int find_variables(char *reason, size_t size)
{
    tls.error = (char *)&errno - tls.first;
    tls.ctype[0] = (char *)__ctype_b_loc() - tls.first;
    tls.ctype[1] = (char *)__ctype_tolower_loc() - tls.first;
    tls.ctype[2] = (char *)__ctype_toupper_loc() - tls.first;
    tls.nmodules = 0;
    if (dl_iterate_phdr(add_module, NULL)) {
        snprintf(reason, size, "more than %d loaded objects have thread-local variables",
                 MODULES_MAX);
        return ENOSYS;
    }
    return 0;
}

int tls_init(char *reason, size_t size)
{
    int err;

    if (tls.ready)
        return 0;
    if (SYS_CALL(SYS_gettid, 0, 0, 0, 0, 0, 0) != getpid()) {
        snprintf(reason, size, "tls_init was not called in the first thread");
        return ENOSYS;
    }
    tls.first = tls_current();
    err = find_functions(reason, size);
    if (!err)
        err = find_single_threaded(reason, size);
    if (!err)
        err = check_header(reason, size);
    if (!err)
        err = find_fields(reason, size);
    if (!err)
        err = find_variables(reason, size);
    tls.ready = !err;
    return err;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* fork(3) puts the block of the child's only thread into the C library's list; a block that is in
 * no list points to itself, which makes this harmless. */
static void unlink_node(void *tp)
{
    struct node *n = (struct node *)((char *)tp + tls.list);

    n->next->prev = n->prev;
    n->prev->next = n->next;
    n->next = n->prev = n;
}

/* Fills in struct pthread, all zero but for what _dl_allocate_tls has written. */
static void fill(void *tp)
{
    struct node *n = (struct node *)((char *)tp + tls.list);

#if defined(__x86_64__)
    const struct x86_header *from = (const struct x86_header *)tls.first;
    struct x86_header *h = tp;

    h->tcb = tp;
    h->self = tp;
    h->multiple_threads = tls.multi_threaded;
    h->sysinfo = from->sysinfo;
    h->stack_guard = from->stack_guard;
    h->pointer_guard = from->pointer_guard;
    h->feature_1 = from->feature_1;
#else
    *(int *)descriptor(tp) = tls.multi_threaded;
#endif
    n->next = n->prev = n; /* fork(3) in this thread unlinks it */
    if (tls.robust) {
        struct robust *r = (struct robust *)((char *)tp + tls.robust);

        r->list = r;
        r->futex_offset = ((struct robust *)(tls.first + tls.robust))->futex_offset;
#if defined(__x86_64__) || defined(__aarch64__)
        ((void **)r)[-1] = r; /* robust_prev, of 64-bit architectures */
#endif
    }
    if (tls.rseq) {
        struct rseq *r = (struct rseq *)((char *)tp + tls.rseq);

        r->cpu_id = (uint32_t)RSEQ_CPU_ID_UNINITIALIZED;
    }
    for (size_t i = 0; i < 3; i++)
        *(void **)((char *)tp + tls.ctype[i]) = *(void **)(tls.first + tls.ctype[i]);
}

void *tls_new(void)
{
    int saved = errno;
    void *tp = tls.allocate(NULL);

    errno = saved;
    if (tp)
        fill(tp);
    return tp;
}

void tls_delete(void *tp)
{
    int saved = errno;

    unlink_node(tp);
    tls.deallocate(tp, true);
    errno = saved;
}

/* Gives the variables of all modules but the C library their initial values. Those that were
 * allocated at their first use are freed, and are allocated anew at the next. */
static void renew(char *tp)
{
    union dtv *dtv = *dtv_of(tp);

    for (size_t i = 1; i <= dtv[-1].counter; i++)
        if (dtv[i].pointer.to_free) {
            tls.free(dtv[i].pointer.to_free);
            dtv[i].pointer.to_free = NULL;
            dtv[i].pointer.value = DTV_UNALLOCATED;
        }
    for (const struct module *m = tls.modules; m < tls.modules + tls.nmodules; m++) {
        memcpy(tp + m->offset, m->image, m->image_size);
        memset(tp + m->offset + m->image_size, 0, m->size - m->image_size);
    }
    *(int *)(tp + tls.error) = 0;
}

void tls_reset(void *tp)
{
    union dtv *dtv = *dtv_of(tp);

    unlink_node(tp);
    memset(descriptor(tp), 0, tls.size);
    *dtv_of(tp) = dtv;
    fill(tp);
    renew(tp);
}

void tls_renew(void)
{
    renew(tls_current());
}

_Atomic uint32_t *tls_tid_word(void *tp)
{
    return (_Atomic uint32_t *)((char *)tp + tls.tid);
}

void tls_set_tid(void *tp, int tid)
{
    atomic_store_explicit(tls_tid_word(tp), (uint32_t)tid, memory_order_relaxed);
}

/* ---- in the thread --------------------------------------------------------------------------- */

void tls_start(void)
{
    uselocale(LC_GLOBAL_LOCALE);
}

void tls_end(void)
{
    tls.call_dtors();
}

void tls_multi_threaded(void)
{
    tls.multi_threaded = true;
    *tls.single_threaded[0] = 0;
    *tls.single_threaded[1] = 0;
#if defined(__x86_64__)
    ((struct x86_header *)tls_current())->multiple_threads = 1;
#else
    *(int *)descriptor(tls_current()) = 1;
#endif
}

int tls_cpu(void)
{
    struct rseq *r = (struct rseq *)((char *)tls_current() + tls.rseq);
    const volatile uint32_t *cpu = &r->cpu_id; /* the kernel writes it */

    if (!tls.rseq)
        return -1;
    if ((int)*cpu == RSEQ_CPU_ID_UNINITIALIZED &&
        SYS_CALL(SYS_rseq, r, 32, 0, RSEQ_SIGNATURE, 0, 0) &&
        (int)*cpu == RSEQ_CPU_ID_UNINITIALIZED) /* no handler has registered it meanwhile */
        r->cpu_id = (uint32_t)RSEQ_CPU_ID_REGISTRATION_FAILED;
    return (int)*cpu < 0 ? -1 : (int)*cpu;
}
