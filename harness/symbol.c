/* symbol.c - see symbol.h. elf(5), dl_iterate_phdr(3). */
#include "symbol.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 32

/* Of the loaded files, the first is the program. Constant after symbol_prepare. */
static struct {
    char name[24];
    uintptr_t base, low, high; /* base: added to what the file calls an address */
} files[FILES];
static size_t nfiles;

/* The program's file. size 0: not mapped yet, or in vain. */
static const char *image;
static size_t image_size;

static int note_file(struct dl_phdr_info *info, size_t size, void *arg)
{
    const char *slash = strrchr(info->dlpi_name, '/');
    uintptr_t low = UINTPTR_MAX, high = 0;
    (void)size;
    (void)arg;
    if (nfiles == FILES)
        return 1;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD)
            continue;
        uintptr_t begin = info->dlpi_addr + p->p_vaddr, end = begin + p->p_memsz;
        low = begin < low ? begin : low;
        high = end > high ? end : high;
    }
    snprintf(files[nfiles].name, sizeof files[nfiles].name, "%s",
             slash              ? slash + 1
             : *info->dlpi_name ? info->dlpi_name
             : nfiles           ? "vdso"
                                : "threadlab");
    files[nfiles].base = info->dlpi_addr;
    files[nfiles].low = low;
    files[nfiles++].high = high;
    return 0;
}

void symbol_prepare(void)
{
    nfiles = 0;
    dl_iterate_phdr(note_file, NULL);
}

static void map_image(void)
{
    static bool tried;
    struct stat st;
    if (tried)
        return;
    tried = true;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_size > (off_t)sizeof(ElfW(Ehdr))) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p != MAP_FAILED) {
            image = p;
            image_size = (size_t)st.st_size;
        }
    }
    close(fd);
}

static bool inside(uint64_t offset, uint64_t size)
{
    return offset <= image_size && size <= image_size - offset;
}

/* A function of one table of symbols that has `value` in it, or NULL. */
static const char *find_in(const ElfW(Shdr) * table, const ElfW(Shdr) * strings, uint64_t value,
                           uint64_t *offset)
{
    const ElfW(Sym) *symbol = (const void *)(image + table->sh_offset);
    size_t n = table->sh_size / sizeof *symbol;
    if (!inside(table->sh_offset, table->sh_size) || !inside(strings->sh_offset, strings->sh_size))
        return NULL;
    for (size_t i = 0; i < n; i++)
        if ((symbol[i].st_info & 0xf) == STT_FUNC && value >= symbol[i].st_value &&
            value - symbol[i].st_value < symbol[i].st_size &&
            symbol[i].st_name < strings->sh_size) {
            *offset = value - symbol[i].st_value;
            return image + strings->sh_offset + symbol[i].st_name;
        }
    return NULL;
}

static const char *find(uint64_t value, uint64_t *offset)
{
    const ElfW(Ehdr) *header = (const void *)image;
    const ElfW(Shdr) * section;
    const char *name = NULL;
    if (!image || memcmp(image, ELFMAG, SELFMAG) != 0 ||
        !inside(header->e_shoff, (uint64_t)header->e_shnum * sizeof *section))
        return NULL;
    section = (const void *)(image + header->e_shoff);
    for (int i = 0; i < header->e_shnum && !name; i++)
        if ((section[i].sh_type == SHT_SYMTAB || section[i].sh_type == SHT_DYNSYM) &&
            section[i].sh_link < header->e_shnum)
            name = find_in(&section[i], &section[section[i].sh_link], value, offset);
    return name;
}

void symbol_name(const void *pc, char *text, size_t size)
{
    uintptr_t at = (uintptr_t)pc;
    uint64_t offset = 0;
    size_t i = 0;
    int saved = errno;
    map_image();
    while (i < nfiles && (at < files[i].low || at >= files[i].high))
        i++;
    const char *name = i == 0 && nfiles ? find(at - files[0].base, &offset) : NULL;
    if (!pc)
        snprintf(text, size, "-");
    else if (name)
        snprintf(text, size, "%s+%#jx", name, (uintmax_t)offset);
    else if (i < nfiles)
        snprintf(text, size, "%s+%#jx", files[i].name, (uintmax_t)(at - files[i].base));
    else
        snprintf(text, size, "%#jx", (uintmax_t)at);
    errno = saved;
}
