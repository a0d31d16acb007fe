/*
 * test_green_torture.c - random programs of create, join, detach, locks and waits against a model.
 * Seeded: TL_SEED=n repeats a run, TL_BUDGET=n is how many threads it creates.
 */
#include "green_child.h"

/* ---- torture --------------------------------------------------------------------------------- */

/* The model: what each object must allow, kept beside it in plain variables, which one kernel
 * thread needs no lock for; each check is of what may be true right after a call returned. */
#define LOCKS 3
#define UNITS 3
#define RING 4

#if TSAN
#define TORTURE_THREADS 40 /* each costs its runtime a shadow */
#else
#define TORTURE_THREADS 400
#endif

static uint64_t seed;
static struct torture {
    struct tl_mutex lock[LOCKS];
    uint64_t holder[LOCKS]; /* ID + 1; 0: free */
    struct tl_sem units;
    int units_held;
    struct tl_mutex ring_lock;
    struct tl_cond not_empty, not_full;
    int ring[RING], ring_used;
    long put, taken;
    int alive, created, budget;
    const char *broken;
} world;

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

#define MODEL(x)                   \
    do {                           \
        if (!(x) && !world.broken) \
            world.broken = #x;     \
    } while (0)

static void maybe_switch(uint64_t r)
{
    if (r % 4 == 0)
        impl->yield();
    else if (r % 64 == 1)
        impl->sleep(r % 5000);
}

static void torture_lock(uint64_t r)
{
    int i = (int)(r % LOCKS);
    uint64_t me = impl->self().id + 1;

    if (r & 64) {
        int err = impl->mutex->trylock(&world.lock[i]);

        MODEL(err == (world.holder[i] && world.holder[i] != me ? EBUSY : err));
        if (err)
            return;
    } else {
        MODEL(!impl->mutex->lock(&world.lock[i]));
    }
    MODEL(!world.holder[i]);
    world.holder[i] = me;
    maybe_switch(r >> 8);
    MODEL(world.holder[i] == me);
    world.holder[i] = 0;
    MODEL(!impl->mutex->unlock(&world.lock[i]));
}

static void torture_sem(uint64_t r)
{
    if (r & 64) {
        if (impl->sem->trywait(&world.units))
            return;
    } else {
        MODEL(!impl->sem->wait(&world.units));
    }
    world.units_held++;
    MODEL(world.units_held <= UNITS);
    maybe_switch(r >> 8);
    world.units_held--;
    MODEL(!impl->sem->post(&world.units));
}

/* Puts one and takes one: never stuck, because the ring is larger than what can be missing. */
static void torture_ring(uint64_t r)
{
    MODEL(!impl->mutex->lock(&world.ring_lock));
    while (world.ring_used == RING)
        impl->cond->wait(&world.not_full, &world.ring_lock);
    world.ring[world.ring_used++] = (int)r;
    world.put++;
    if (r & 64)
        impl->cond->signal(&world.not_empty);
    else
        impl->cond->broadcast(&world.not_empty);
    impl->mutex->unlock(&world.ring_lock);
    maybe_switch(r >> 8);
    MODEL(!impl->mutex->lock(&world.ring_lock));
    while (!world.ring_used)
        impl->cond->wait(&world.not_empty, &world.ring_lock);
    world.ring_used--;
    world.taken++;
    if (r & 128)
        impl->cond->broadcast(&world.not_full);
    else
        impl->cond->signal(&world.not_full);
    impl->mutex->unlock(&world.ring_lock);
}

static void *torture_thread(void *arg)
{
    uint64_t state = seed ^ (uint64_t)(uintptr_t)arg << 32;
    struct tl_thread child[4];
    uintptr_t number[4];
    int children = 0;
    void *value;

    world.alive++;
    for (int step = 0; step < 60; step++) {
        uint64_t r = next_random(&state);
        int mine = (int)(r >> 40);

        errno = mine;
        switch (r >> 32 & 7) {
        case 0:
        case 1:
            torture_lock(r);
            break;
        case 2:
            torture_sem(r);
            break;
        case 3:
        case 4:
            torture_ring(r);
            break;
        case 5:
        case 6:
            if (children < 4 && world.created < world.budget) {
                struct tl_attr attr = {.detached = r % 5 == 0, .slot = TL_SLOT_INHERIT};

                attr.stack_size = r & 128 ? 32768 : 0;
                attr.no_guard = r & 256;
                number[children] = (uintptr_t)++world.created;
                if (impl->create(&child[children], &attr, torture_thread, (void *)number[children]))
                    world.broken = "create";
                else if (!attr.detached)
                    children++;
            } else if (children) {
                children--;
                if (r & 64) {
                    MODEL(!impl->detach(child[children]));
                } else {
                    MODEL(!impl->join(child[children], &value));
                    MODEL((uintptr_t)value == number[children]);
                    MODEL(impl->join(child[children], NULL) == ESRCH);
                }
            }
            break;
        case 7:
            maybe_switch(r);
            break;
        }
        MODEL(errno == mine);
    }
    while (children--)
        MODEL(!impl->join(child[children], NULL));
    world.alive--;
    return arg;
}

static void *torture_case(void *arg)
{
    struct tl_thread t[8];

    (void)arg;
    for (int i = 0; i < LOCKS; i++)
        impl->mutex->init(&world.lock[i], (enum tl_mutex_kind)i);
    impl->sem->init(&world.units, UNITS);
    impl->mutex->init(&world.ring_lock, TL_MUTEX_BLOCK);
    impl->cond->init(&world.not_empty);
    impl->cond->init(&world.not_full);
    world.budget = getenv("TL_BUDGET") ? atoi(getenv("TL_BUDGET")) : TORTURE_THREADS;
    for (uintptr_t i = 0; i < 8; i++)
        CHECK(!impl->create(&t[i], NULL, torture_thread, (void *)(i + 1000000)));
    for (int i = 0; i < 8; i++)
        CHECK(!impl->join(t[i], NULL));
    while (world.alive)
        impl->sleep(100000);
    if (world.broken)
        fprintf(stderr, "TL_SEED=%llu: broken: %s\n", (unsigned long long)seed, world.broken);
    CHECK(!world.broken && world.units_held == 0 && world.put == world.taken);
    for (int i = 0; i < LOCKS; i++)
        CHECK(!world.holder[i] && !impl->mutex->destroy(&world.lock[i]));
    CHECK(world.created > world.budget / 4);
    return NULL;
}

static void test_torture(void **state)
{
    const char *given = getenv("TL_SEED");

    (void)state;
    for (int i = 0; i < (given ? 1 : 3); i++) {
        seed = given ? strtoull(given, NULL, 10) : now_ns(CLOCK_REALTIME) + (uint64_t)i;
        print_message("torture: TL_SEED=%llu\n", (unsigned long long)seed);
        run_case(torture_case);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torture),
    };

    return RUN(tests);
}
