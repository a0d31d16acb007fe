/*
 * stdio.c - the lock of a FILE. The C library's knows its owner by the TLS block, and waits in the
 * kernel: where others run on the same kernel thread, that would stop the owner, too. So a call
 * takes it first, yielding between its tries, and finds it its own then.
 *
 * The wide-character calls and fflush(NULL) are not here: they wait as ever.
 */
#include "veneer.h"

#include <stdarg.h>
#include <stdio.h>

void WRAP(flockfile)(FILE *file);
void WRAP(flockfile)(FILE *file)
{
    if (!veneer.running || veneer.blocks_alone) {
        flockfile(file);
        return;
    }
    while (ftrylockfile(file))
        veneer.impl->yield();
}

/* file and call are about the parameters. */
#define LOCKED(type, name, parameters, file, call) \
    type WRAP(name) parameters;                    \
    type WRAP(name) parameters                     \
    {                                              \
        type result;                               \
        __wrap_flockfile(file);                    \
        result = (call);                           \
        funlockfile(file);                         \
        return result;                             \
    }
LOCKED(int, fputc, (int c, FILE *f), f, fputc_unlocked(c, f))
LOCKED(int, putc, (int c, FILE *f), f, fputc_unlocked(c, f))
LOCKED(int, putchar, (int c), stdout, putchar_unlocked(c))
LOCKED(int, fputs, (const char *s, FILE *f), f, fputs_unlocked(s, f))
LOCKED(int, puts, (const char *s), stdout, puts(s))
LOCKED(size_t, fwrite, (const void *from, size_t size, size_t n, FILE *f), f,
       fwrite_unlocked(from, size, n, f))
LOCKED(int, vfprintf, (FILE * f, const char *format, va_list list), f, vfprintf(f, format, list))
LOCKED(int, vprintf, (const char *format, va_list list), stdout, vprintf(format, list))
LOCKED(int, ungetc, (int c, FILE *f), f, ungetc(c, f))
LOCKED(int, fseek, (FILE * f, long at, int from), f, fseek(f, at, from))
LOCKED(int, fseeko, (FILE * f, off_t at, int from), f, fseeko(f, at, from))
LOCKED(long, ftell, (FILE * f), f, ftell(f))
LOCKED(off_t, ftello, (FILE * f), f, ftello(f))
LOCKED(int, fseeko64, (FILE * f, off64_t at, int from), f, fseeko64(f, at, from))
LOCKED(off64_t, ftello64, (FILE * f), f, ftello64(f))

#define PRINTS(name, file, parameters)                \
    int WRAP(name) parameters;                        \
    int WRAP(name) parameters                         \
    {                                                 \
        va_list list;                                 \
        int result;                                   \
        va_start(list, format);                       \
        result = __wrap_vfprintf(file, format, list); \
        va_end(list);                                 \
        return result;                                \
    }
PRINTS(printf, stdout, (const char *format, ...))
PRINTS(fprintf, f, (FILE * f, const char *format, ...))

int WRAP(fflush)(FILE *f);
int WRAP(fflush)(FILE *f)
{
    int result;

    if (!f)
        return fflush(NULL);
    __wrap_flockfile(f);
    result = fflush(f);
    funlockfile(f);
    return result;
}
