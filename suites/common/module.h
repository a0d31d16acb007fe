/*
 * module.h - a shared object with one thread-local variable, made in memory: no compiler and no
 * file are needed, and its size is chosen at run time.
 *
 * It has a header, one segment to load, a dynamic section, a symbol of type STT_TLS and the
 * variable's initial image; no code: its constructor is a function of the program, whose address
 * stands in the array as it is, so that nothing has to relocate it. System V ABI, chapters 4 and 5
 * (ELF-64); U. Drepper, "ELF Handling For Thread-Local Storage" (2005). dlsym answers the address
 * in the calling thread.
 */
#ifndef SUITES_MODULE_H
#define SUITES_MODULE_H

#include <dlfcn.h>
#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MODULE_IMAGE 64     /* bytes of the variable that are initialised: to 1, 2, 3 ... */
#define MODULE_PAGE 0x10000 /* at least the page size of any machine */
#define MODULE_VARIABLE "variable"

#if defined(__x86_64__)
#define MODULE_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MODULE_MACHINE EM_AARCH64
#else
#error "module.h: name this machine"
#endif

struct module_file {
    Elf64_Ehdr header;
    Elf64_Phdr load, dynamic, tls, stack;
    Elf64_Dyn entries[8];
    Elf64_Sym symbols[2];
    Elf64_Word hash[6]; /* buckets, chains, bucket 0, chain 0 and 1; padding */
    char strings[16];
    Elf64_Addr begin; /* array of constructors */
    _Alignas(64) unsigned char image[MODULE_IMAGE];
};

#define MODULE_PART(kind, access, member)                                                        \
    {                                                                                            \
        .p_type = (kind), .p_flags = (access), .p_offset = offsetof(struct module_file, member), \
        .p_vaddr = offsetof(struct module_file, member),                                         \
        .p_paddr = offsetof(struct module_file, member),                                         \
        .p_filesz = sizeof(((struct module_file *)0)->member),                                   \
        .p_memsz = sizeof(((struct module_file *)0)->member), .p_align = 8                       \
    }

/* Loads one whose variable has `size` bytes, at least MODULE_IMAGE, and with this constructor
 * (NULL: none). NULL: dlerror says why. */
static inline void *module_load_begin(size_t size, void (*begin)(void))
{
    struct module_file file = {
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
                               EV_CURRENT, ELFOSABI_SYSV},
                   .e_type = ET_DYN,
                   .e_machine = MODULE_MACHINE,
                   .e_version = EV_CURRENT,
                   .e_phoff = offsetof(struct module_file, load),
                   .e_ehsize = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 4,
                   .e_shentsize = sizeof(Elf64_Shdr)},
        .load = {.p_type = PT_LOAD,
                 .p_flags = PF_R | PF_W,
                 .p_filesz = sizeof(file),
                 .p_memsz = sizeof(file),
                 .p_align = MODULE_PAGE},
        .dynamic = MODULE_PART(PT_DYNAMIC, PF_R | PF_W, entries),
        .tls = MODULE_PART(PT_TLS, PF_R, image),
        .stack = {.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W, .p_align = 16},
        .entries = {{DT_HASH, {offsetof(struct module_file, hash)}},
                    {DT_SYMTAB, {offsetof(struct module_file, symbols)}},
                    {DT_SYMENT, {sizeof(Elf64_Sym)}},
                    {DT_STRTAB, {offsetof(struct module_file, strings)}},
                    {DT_STRSZ, {sizeof(file.strings)}},
                    {begin ? DT_INIT_ARRAY : DT_NULL, {offsetof(struct module_file, begin)}},
                    {DT_INIT_ARRAYSZ, {sizeof(file.begin)}},
                    {DT_NULL, {0}}},
        .symbols = {{0},
                    {.st_name = 1,
                     .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_TLS),
                     .st_shndx = 1, /* any that is defined */
                     .st_size = size}},
        .hash = {1, 2, 1, 0, 0, 0},
        .strings = "\0" MODULE_VARIABLE,
        .begin = (uintptr_t)begin,
    };
    char path[32];
    void *module = NULL;
    int fd = memfd_create("threadlab-module", MFD_CLOEXEC);

    if (fd < 0)
        return NULL;
    file.tls.p_memsz = size;
    file.tls.p_align = 64;
    for (unsigned i = 0; i < MODULE_IMAGE; i++)
        file.image[i] = (unsigned char)(i + 1);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (write(fd, &file, sizeof(file)) == (ssize_t)sizeof(file))
        module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    close(fd);
    return module;
}

static inline void *module_load(size_t size)
{
    return module_load_begin(size, NULL);
}

/* The calling thread's. */
static inline unsigned char *module_variable(void *module)
{
    return dlsym(module, MODULE_VARIABLE);
}

#endif
