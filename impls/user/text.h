/*
 * text.h - whose code is at an address: the user's, this library's, or the C library's and the
 * like. Included by user.h only.
 *
 * Asked by handlers of signals that have interrupted something: while the program counter is in the
 * library, its queues may be half changed; while it is in the C library, a lock of that may be held
 * that is the kernel thread's, so that the next thread on it would wait for itself, or walk in.
 *
 * The build gives the library's objects, and what of impls/common works for it, a section of their
 * own, whose ends the linker names (Makefile, IN_LIBRARY). They call the C library through the GOT
 * (-fno-plt): a stub of the PLT would be an address of the user's.
 *
 * User text is the rest of the program, and plugins. All other objects are foreign, also those that
 * are loaded later, where a thread of the user's may well be: dlopen may have loaded them for the C
 * library itself.
 *
 * An address alone says nothing about the callers. Below a user's function there may be a frame of
 * the C library (a comparison function of qsort, a cookie function of stdio).
 */
#ifndef TL_USER_TEXT_H
#define TL_USER_TEXT_H

#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

enum text { TEXT_USER, TEXT_LIBRARY, TEXT_FOREIGN };

/* NULL where the build made no such section. */
extern const char __start_tl_user_text[] __attribute__((weak, visibility("hidden")));
extern const char __stop_tl_user_text[] __attribute__((weak, visibility("hidden")));

struct text_range {
    uintptr_t low, size;
};

#define TEXT_RANGES 16 /* further ones count as foreign */

/* Of user text: the program's own comes first. Written by text_boot only. */
static struct {
    struct text_range ranges[TEXT_RANGES];
    unsigned n;
} user_text;

/* The plain answer, for plugins: dlsym of a handle looks into what the object needs, too, but none
 * needs the driver. */
static inline bool text_is_plugin(const char *path)
{
    void *object = dlopen(path, RTLD_LAZY | RTLD_NOLOAD), *contents;

    if (!object)
        return false;
    contents = dlsym(object, "tl_module_contents");
    dlclose(object);
    return contents != NULL;
}

static inline int text_add(struct dl_phdr_info *info, size_t size, void *arg)
{
    unsigned *object = arg;

    (void)size;
    if ((*object)++ && (!*info->dlpi_name || !text_is_plugin(info->dlpi_name)))
        return 0;
    for (unsigned i = 0; i < info->dlpi_phnum && user_text.n < TEXT_RANGES; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

        if (segment->p_type == PT_LOAD && segment->p_flags & PF_X)
            user_text.ranges[user_text.n++] =
                (struct text_range){info->dlpi_addr + segment->p_vaddr, segment->p_memsz};
    }
    return 0;
}

/* Whether the library's text can be told from the user's. */
static inline bool text_known(void)
{
    return &__start_tl_user_text[0] != &__stop_tl_user_text[0];
}

/* Once, before text_of. */
static inline void text_boot(void)
{
    unsigned objects = 0;

    user_text.n = 0;
    dl_iterate_phdr(text_add, &objects);
}

/* Async-signal-safe. */
static inline enum text text_of(uintptr_t pc)
{
    if (pc - (uintptr_t)__start_tl_user_text <
        (uintptr_t)__stop_tl_user_text - (uintptr_t)__start_tl_user_text)
        return TEXT_LIBRARY;
    for (unsigned i = 0; i < user_text.n; i++)
        if (pc - user_text.ranges[i].low < user_text.ranges[i].size)
            return TEXT_USER;
    return TEXT_FOREIGN;
}

/* Where the third argument of a handler says that it has interrupted the thread. */
static inline uintptr_t text_interrupted(const void *frame)
{
    const ucontext_t *uc = frame;

#if defined(__x86_64__)
    return (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#else
    return (uintptr_t)uc->uc_mcontext.pc;
#endif
}

static inline uintptr_t text_stack_pointer(const void *frame)
{
    const ucontext_t *uc = frame;

#if defined(__x86_64__)
    return (uintptr_t)uc->uc_mcontext.gregs[REG_RSP];
#else
    return (uintptr_t)uc->uc_mcontext.sp;
#endif
}

#endif
