/*
 * test_green_threads.c - identities, stacks and limits of user-level threads. TL_MILLION=1 parks a
 * million of them (4.2 GB) instead of 100,000.
 */
#include "green_child.h"

/* ---- identity, errors ------------------------------------------------------------------------ */

static void *join_the_first(void *arg)
{
    void *value;

    (void)arg;
    CHECK(impl->join(the_first, &value) == 0 && value == NULL);
    CHECK(impl->join(the_first, &value) == ESRCH);
    return NULL;
}

static void *join_creator(void *arg)
{
    return (void *)(intptr_t)impl->join(*(struct tl_thread *)arg, NULL);
}

static void *identity_case(void *arg)
{
    struct tl_attr attr = TL_ATTR_INIT;
    struct tl_thread t, old, mine = impl->self();
    void *value;

    (void)arg;
    CHECK(impl->join(mine, NULL) == EDEADLK);
    for (uint64_t id = 0; id < 64; id++) {
        struct tl_thread garbage = {id * 0x9e3779b97f4a7c15u};

        CHECK(impl->join(garbage, NULL) == ESRCH);
        CHECK(impl->detach(garbage) == ESRCH);
        CHECK(impl->signal->kill(garbage, 0, NULL) == ESRCH);
    }
    CHECK(!impl->create(&t, NULL, nop, &t));
    CHECK(impl->signal->kill(t, 0, NULL) == ESRCH); /* it has ended */
    CHECK(!impl->join(t, &value) && value == &t);
    CHECK(impl->join(t, NULL) == ESRCH);
    old = t;
    CHECK(!impl->create(&t, NULL, nop, NULL));
    CHECK(t.id != old.id && impl->detach(old) == ESRCH);
    CHECK(!impl->detach(t));
    CHECK(impl->join(t, NULL) == ESRCH); /* it had ended, so it is gone */
    impl->sem->init(&gate, 0);
    attr.detached = true;
    CHECK(!impl->create(&t, &attr, order_thread, NULL));
    CHECK(impl->join(t, NULL) == EINVAL && impl->detach(t) == EINVAL);
    CHECK(impl->signal->kill(t, 0, NULL) == 0);
    impl->sem->post(&gate);
    attr = (struct tl_attr)TL_ATTR_INIT;
    attr.stack_size = 100;
    CHECK(impl->create(&t, &attr, nop, NULL) == EINVAL);
    attr.stack_size = SIZE_MAX;
    CHECK(impl->create(&t, &attr, nop, NULL) == ENOMEM);
    attr.stack_size = 0;
    attr.guard_size = SIZE_MAX;
    CHECK(impl->create(&t, &attr, nop, NULL) == ENOMEM);
    impl->sem->init(&ping, 0);
    the_first = mine;
    CHECK(!impl->create(&old, NULL, join_creator, &mine));
    CHECK(impl->join(old, NULL) == EDEADLK); /* each waits for the other */
    return impl->create(&t, NULL, nop, NULL) ? (void *)1 : NULL;
}

static void *joins_first_case(void *arg)
{
    struct tl_attr attr = TL_ATTR_INIT;
    struct tl_thread t;

    (void)arg;
    the_first = impl->self();
    attr.detached = true;
    return (void *)(intptr_t)impl->create(&t, &attr, join_the_first, NULL);
}

/* ---- stacks ---------------------------------------------------------------------------------- */

static int deep(int n);
static int (*volatile deeper)(int) = deep; /* so that no compiler makes a loop of it */

static int deep(int n)
{
    volatile char frame[512];

    frame[n % 512] = (char)n;
    return n ? deeper(n - 1) + frame[n % 512] - (char)n : 0;
}

static void *overflows(void *arg)
{
    return (void *)(intptr_t)deep(*(int *)arg);
}

static int overflow_depth = 1000;

static void *overflow_case(void *arg)
{
    struct tl_thread t;

    (void)arg;
    signal(SIGSEGV, SIG_DFL); /* not the sanitizer's */
    impl->create(&t, NULL, nop, NULL);
    impl->create(&t, NULL, overflows, &overflow_depth);
    return NULL;
}

static void *uses_it_all(void *arg)
{
    /* less the frames of its callers, and its own */
    size_t size = *(size_t *)arg - 512;
    volatile char *low = __builtin_alloca(size);

    if ((uintptr_t)__builtin_frame_address(0) % 16)
        return (void *)1;
    for (size_t i = 0; i < size; i += 64)
        low[i] = 1;
    return (void *)(intptr_t)!low[0];
}

static void *frame_address(void *arg)
{
    (void)arg;
    return __builtin_frame_address(0);
}

/* Whatever the size of the default guard is. */
static void *recycled_case(void *arg)
{
    struct tl_thread t;
    void *one, *other;

    (void)arg;
    CHECK(!impl->create(&t, NULL, frame_address, NULL) && !impl->join(t, &one));
    CHECK(!impl->create(&t, NULL, frame_address, NULL) && !impl->join(t, &other));
    /* but for the colour */
    return labs((intptr_t)one - (intptr_t)other) < 4096 ? NULL : (void *)1;
}

static void *sizes_case(void *arg)
{
    struct tl_attr attr = TL_ATTR_INIT;
    struct tl_thread t;
    void *value;

    (void)arg;
    for (int guard = 0; guard < 3; guard++)
        for (size_t size = 4096; size <= 16u << 20; size = size * 2 + 4096 * (size % 3)) {
            attr.no_guard = !guard;
            attr.guard_size = guard == 2 ? 3 * 4096 : 0;
            attr.stack_size = size;
            for (int i = 0; i < 3; i++) {
                CHECK(!impl->create(&t, &attr, uses_it_all, &size));
                CHECK(!impl->join(t, &value) && !value);
            }
        }
    attr = (struct tl_attr){.stack_size = 2048, .no_guard = true, .slot = TL_SLOT_INHERIT};
    for (int i = 0; i < 1000; i++)
        CHECK(!impl->create(&t, &attr, nop, NULL) && !impl->join(t, NULL));
    return NULL;
}

/* Bytes of anonymous memory, in the kernel's page tables: exact, where statm's number is a counter
 * per CPU that may be some hundred pages behind, and without the files that are mapped. 0: unknown
 */
static long anonymous(void)
{
    long kib, sum = 0;
    char line[256];
    FILE *f = fopen("/proc/self/smaps_rollup", "r");

    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "Anonymous: %ld", &kib) == 1 || sscanf(line, "Swap: %ld", &kib) == 1)
            sum += kib << 10;
    if (f)
        fclose(f);
    return sum;
}

static int map_lines(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    int c, lines = 0;

    while (f && (c = getc(f)) != EOF)
        lines += c == '\n';
    if (f)
        fclose(f);
    return lines;
}

/* Whether a guard needs no mapping of its own: Linux 6.13. Before, each costs two of the 65,530. */
static bool guards_are_free(void)
{
    const int install = 102; /* MADV_GUARD_INSTALL */
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool free_guards = p != MAP_FAILED && !madvise(p, page, install);

    if (p != MAP_FAILED)
        munmap(p, page);
    return free_guards;
}

static unsigned long park_target;

static int park_until(unsigned long n)
{
    struct tl_attr attr = {.detached = true, .slot = TL_SLOT_INHERIT};
    struct tl_thread t;
    int err = 0;

    while (parked < n && !err)
        err = impl->create(&t, &attr, parks, NULL);
    return err;
}

/* A parked thread costs one page of stack and a line of the table, though what is on its stack is
 * up to half a page lower than in others. Measured between N and 2 N, so that what the process has
 * besides does not count; without huge pages, which are a matter of the machine's setting. */
static void *parked_case(void *arg)
{
    long page = sysconf(_SC_PAGESIZE), half, each;

    (void)arg;
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    impl->sem->init(&gate, 0);
    CHECK(!park_until(park_target / 2));
    half = anonymous();
    CHECK(!park_until(park_target) && parked == park_target);
    each = (anonymous() - half) / (long)(park_target / 2);
    if (getenv("TL_VERBOSE"))
        fprintf(stderr, "%s: %lu parked: %ld bytes each\n", impl->name, park_target, each);
    if (!SANITIZED && half) {     /* their shadow is not the threads' */
        CHECK(each >= page);      /* else it was not measured */
        CHECK(each < page + 128); /* 4,159 to 4,167 seen, with gcc and clang, -O0 to -O3 */
    }
    CHECK(SANITIZED || !guards_are_free() || map_lines() < 2000);
    for (unsigned long i = 0; i < park_target; i++)
        impl->sem->post(&gate);
    while (parked)
        impl->yield();
    return NULL;
}

static void *detached_case(void *arg)
{
    struct tl_attr attr = {.detached = true, .slot = TL_SLOT_INHERIT};
    struct tl_thread t;
    long before;

    (void)arg;
    impl->create(&t, &attr, nop, NULL);
    before = anonymous();
    for (int i = 0; i < (SANITIZED ? 1000 : 100000); i++)
        CHECK(!impl->create(&t, &attr, nop, NULL));
    CHECK(SANITIZED || anonymous() - before < 1 << 20); /* a line of each would be 6 MB */
    return NULL;
}

/* Under a limit of address space create answers an error, and works again after. */
static void *limit_case(void *arg)
{
    struct rlimit limit = {512u << 20, 512u << 20}, none;
    struct tl_attr attr = {.detached = true, .stack_size = 1 << 20, .slot = TL_SLOT_INHERIT};
    struct tl_thread t;
    int err = 0;

    (void)arg;
    getrlimit(RLIMIT_AS, &none);
    limit.rlim_max = none.rlim_max;
    limit.rlim_cur = 3ul << 30; /* the table has its address space already */
    impl->sem->init(&gate, 0);
    setrlimit(RLIMIT_AS, &limit);
    for (park_target = 0; park_target < 10000 && !err; park_target++)
        err = impl->create(&t, &attr, parks, NULL);
    CHECK(err == ENOMEM || err == EAGAIN);
    CHECK(parked == park_target - 1 && parked > 100);
    impl->sem->post(&gate);
    impl->yield();
    CHECK(!impl->create(&t, &attr, parks, NULL)); /* the stack of the one that went */
    while (parked) {
        impl->sem->post(&gate);
        impl->yield();
    }
    setrlimit(RLIMIT_AS, &none);
    return NULL;
}

CASE(identity)
CASE(joins_first)
CASE(sizes)
CASE(detached)

static void test_parked(void **state)
{
    bool few = SANITIZED || !guards_are_free();

    (void)state;
    park_target = few ? 1000 : getenv("TL_MILLION") ? 1000000 : 100000;
    impl = find("green");
    assert_int_equal(in_child(parked_case, NULL, 0), 0);
    park_target = few ? 1000 : 20000;
    impl = find("ucontext");
    assert_int_equal(in_child(parked_case, NULL, 0), 0);
}

static void test_limit(void **state)
{
    (void)state;
    SKIP_IF(SANITIZED, "sanitizers need more address space than any limit");
    impl = find("green");
    assert_int_equal(in_child(limit_case, NULL, 0), 0);
}

static void test_overflow(void **state)
{
    int status;

    (void)state;
    impl = find("green");
    status = in_child(overflow_case, NULL, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    overflow_depth = 60; /* within the stack: nothing happens */
    assert_int_equal(in_child(overflow_case, NULL, 0), 0);
}

static void test_recycled(void **state)
{
    (void)state;
    impl = find("green");
    assert_int_equal(in_child(recycled_case, NULL, 0), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity), cmocka_unit_test(test_joins_first),
        cmocka_unit_test(test_sizes),    cmocka_unit_test(test_detached),
        cmocka_unit_test(test_parked),   cmocka_unit_test(test_limit),
        cmocka_unit_test(test_overflow), cmocka_unit_test(test_recycled),
    };

    return RUN(tests);
}
