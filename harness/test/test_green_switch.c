/*
 * test_green_switch.c - what a switch between user-level threads must keep: registers,
 * floating-point control, errno, thread-local storage, and the order of the run queue.
 */
#include "green_child.h"

/* ---- registers ------------------------------------------------------------------------------- */

/* Fills the callee-saved registers from pattern[], calls f, and writes what they are then to
 * seen[]. x86-64: rbx rbp r12 r13 r14 r15. aarch64: x19..x28, d8..d15. */
#if defined(__x86_64__)
#define NREGS 6
__asm__(".text\n.p2align 6\n"
        "fill_call_read:\n"
        "pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15; pushq %rdx\n"
        "movq 0(%rsi), %rbx; movq 8(%rsi), %rbp; movq 16(%rsi), %r12; movq 24(%rsi), %r13\n"
        "movq 32(%rsi), %r14; movq 40(%rsi), %r15\n"
        "callq *%rdi\n"
        "movq 0(%rsp), %rdx\n"
        "movq %rbx, 0(%rdx); movq %rbp, 8(%rdx); movq %r12, 16(%rdx); movq %r13, 24(%rdx)\n"
        "movq %r14, 32(%rdx); movq %r15, 40(%rdx)\n"
        "popq %rdx; popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx\n"
        "retq\n");
#elif defined(__aarch64__)
#define NREGS 18
__asm__(".text\n.p2align 6\n"
        "fill_call_read:\n"
        "stp x29, x30, [sp, #-176]!; stp x19, x20, [sp, #16]; stp x21, x22, [sp, #32]\n"
        "stp x23, x24, [sp, #48]; stp x25, x26, [sp, #64]; stp x27, x28, [sp, #80]\n"
        "stp d8, d9, [sp, #96]; stp d10, d11, [sp, #112]; stp d12, d13, [sp, #128]\n"
        "stp d14, d15, [sp, #144]; str x2, [sp, #160]\n"
        "ldp x19, x20, [x1]; ldp x21, x22, [x1, #16]; ldp x23, x24, [x1, #32]\n"
        "ldp x25, x26, [x1, #48]; ldp x27, x28, [x1, #64]; ldp d8, d9, [x1, #80]\n"
        "ldp d10, d11, [x1, #96]; ldp d12, d13, [x1, #112]; ldp d14, d15, [x1, #128]\n"
        "blr x0\n"
        "ldr x2, [sp, #160]\n"
        "stp x19, x20, [x2]; stp x21, x22, [x2, #16]; stp x23, x24, [x2, #32]\n"
        "stp x25, x26, [x2, #48]; stp x27, x28, [x2, #64]; stp d8, d9, [x2, #80]\n"
        "stp d10, d11, [x2, #96]; stp d12, d13, [x2, #112]; stp d14, d15, [x2, #128]\n"
        "ldp x19, x20, [sp, #16]; ldp x21, x22, [sp, #32]; ldp x23, x24, [sp, #48]\n"
        "ldp x25, x26, [sp, #64]; ldp x27, x28, [sp, #80]; ldp d8, d9, [sp, #96]\n"
        "ldp d10, d11, [sp, #112]; ldp d12, d13, [sp, #128]; ldp d14, d15, [sp, #144]\n"
        "ldp x29, x30, [sp], #176\n"
        "ret\n");
#endif
void fill_call_read(void (*f)(void), const uint64_t *pattern, uint64_t *seen);

static void block_and_wake(void)
{
    impl->sem->post(&ping);
    impl->sem->wait(&pong);
}

static void wake_and_block(void)
{
    impl->sem->post(&pong);
    impl->sem->wait(&ping);
}

static void sleep_a_little(void)
{
    impl->sleep(1000);
}

static void *registers_thread(void *arg)
{
    uint64_t salt = (uint64_t)(uintptr_t)arg, pattern[NREGS], seen[NREGS];
    void (*calls[])(void) = {impl->yield, salt % 2 ? block_and_wake : wake_and_block,
                             create_and_join, sleep_a_little};
    static const int rounding[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};

    fesetround(rounding[salt % 4]);
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < NREGS; i++)
            pattern[i] = (salt + 1) * 0x0101010101010101u + (uint64_t)(round * 100 + i);
        fill_call_read(calls[round % 4], pattern, seen);
        CHECK(!memcmp(pattern, seen, sizeof(seen)));
        CHECK(fegetround() == rounding[salt % 4]);
#ifdef __x86_64__
        uint16_t x87;

        __asm__ volatile("fnstcw %0" : "=m"(x87));
        CHECK((x87 >> 10 & 3) == (rounding[salt % 4] >> 10 & 3));
#endif
    }
    return NULL;
}

static void *rounding_of_new(void *arg)
{
    (void)arg;
    return (void *)(intptr_t)fegetround();
}

static void *registers_case(void *arg)
{
    struct tl_thread t[MANY];
    void *value;

    (void)arg;
    impl->sem->init(&ping, 0);
    impl->sem->init(&pong, 0);
    for (int i = 0; i < MANY; i++)
        CHECK(!impl->create(&t[i], NULL, registers_thread, (void *)(intptr_t)i));
    for (int i = 0; i < MANY; i++) {
        CHECK(!impl->join(t[i], &value));
        CHECK(!value);
    }
    fesetround(FE_UPWARD); /* a new thread inherits it */
    CHECK(!impl->create(&t[0], NULL, rounding_of_new, NULL));
    CHECK(!impl->join(t[0], &value));
    CHECK((intptr_t)value == FE_UPWARD);
    return NULL;
}

/* ---- order, errno, TLS ----------------------------------------------------------------------- */

static void *order_case(void *arg)
{
    struct tl_thread t[MANY];

    (void)arg;
    impl->sem->init(&gate, 0);
    for (int i = 0; i < MANY; i++)
        CHECK(!impl->create(&t[i], NULL, order_thread, (void *)(intptr_t)i));
    for (int i = 0; i < MANY; i++)
        impl->sem->post(&gate);
    for (int i = 0; i < MANY; i++)
        CHECK(!impl->join(t[i], NULL));
    CHECK(ordered == MANY * 8);
    for (int i = 0; i < ordered; i++)
        CHECK(order[i] == i % MANY);
    return NULL;
}

static void *private_case(void *arg)
{
    struct tl_thread t[MANY];
    void *value;

    (void)arg;
    for (int round = 0; round < 3; round++) { /* recycled ones too */
        errno = EXDEV;
        for (int i = 0; i < MANY; i++)
            CHECK(!impl->create(&t[i], NULL, private_thread, (void *)(intptr_t)(i + 1)));
        for (int i = 0; i < MANY; i++) {
            CHECK(!impl->join(t[i], &value));
            CHECK(!value);
        }
        CHECK(errno == EXDEV);
    }
    return NULL;
}

CASE(registers)
CASE(order)
CASE(private)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_private),
    };

    return RUN(tests);
}
