/*
 * stdio.c - the lock of a FILE. The C library's knows its owner by the TLS block, and waits in the
 * kernel: where others run on the same kernel thread, that would stop the owner, too. So a call
 * takes it first, yielding between its tries, and finds it its own then.
 *
 * The wide-character calls and fflush(NULL) are not here: they wait as ever.
 */
#include "veneer.h"

#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>

/* Of FILE's _flags, in the C library: its buffer is one to write. */
#define CURRENTLY_PUTTING 0x800

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
LOCKED(int, ungetc, (int c, FILE *f), f, ungetc(c, f))
LOCKED(int, fseek, (FILE * f, long at, int from), f, fseek(f, at, from))
LOCKED(int, fseeko, (FILE * f, off_t at, int from), f, fseeko(f, at, from))
LOCKED(long, ftell, (FILE * f), f, ftell(f))
LOCKED(off_t, ftello, (FILE * f), f, ftello(f))
LOCKED(int, fseeko64, (FILE * f, off64_t at, int from), f, fseeko64(f, at, from))
LOCKED(off64_t, ftello64, (FILE * f), f, ftello64(f))

/* ---- writing --------------------------------------------------------------------------------- */

/* It goes to the buffer, and nothing to the kernel. */
static bool fits(FILE *f, size_t n)
{
    return f->_flags & CURRENTLY_PUTTING && !__flbf(f) && f->_IO_write_ptr < f->_IO_buf_end &&
           n < (size_t)(f->_IO_buf_end - f->_IO_write_ptr);
}

/* In pieces that what is ready takes: a pipe takes PIPE_BUF. How many bytes it has taken. */
static size_t put_pieces(FILE *f, const char *from, size_t n)
{
    size_t done = 0, piece, taken;

    do {
        piece = n - done < PIPE_BUF ? n - done : PIPE_BUF;
        if (!fits(f, piece)) {
            if (__fpending(f) && __fpending(f) + piece > PIPE_BUF &&
                (!veneer_file_wait(f, POLLOUT) || fflush_unlocked(f)))
                break;
            if (!veneer_file_wait(f, POLLOUT))
                break;
        }
        taken = fwrite_unlocked(from + done, 1, piece, f);
        done += taken;
    } while (taken == piece && done < n);
    return done;
}

static size_t put(FILE *f, const char *from, size_t n)
{
    if (!n || fits(f, n) || !veneer_file_may_stop(f))
        return fwrite_unlocked(from, 1, n, f);
    return put_pieces(f, from, n);
}

static int put_one(int c, FILE *f)
{
    char byte = (char)c;

    return put(f, &byte, 1) == 1 ? (unsigned char)c : EOF;
}

static int put_line(const char *s)
{
    size_t n = strlen(s);

    return put(stdout, s, n) == n && put_one('\n', stdout) != EOF ? 1 : EOF;
}

/* What is short is written at once, so that it is not asked whether the FILE waits. */
static int print(FILE *f, const char *format, va_list list)
{
    char line[512], *text = NULL;
    va_list again;
    int n, saved = errno;

    if (!veneer.running || veneer.blocks_alone)
        return vfprintf(f, format, list);
    va_copy(again, list);
    n = vsnprintf(line, sizeof line, format, list);
    errno = saved; /* for %m */
    if (n >= (int)sizeof line)
        n = vasprintf(&text, format, again);
    va_end(again);
    if (n < 0) {
        f->_flags |= _IO_ERR_SEEN;
        return -1;
    }
    errno = saved;
    if (put(f, text ? text : line, (size_t)n) != (size_t)n)
        n = -1;
    saved = errno;
    veneer_program_free(text);
    errno = saved;
    return n;
}

LOCKED(int, fputc, (int c, FILE *f), f, put_one(c, f))
LOCKED(int, putc, (int c, FILE *f), f, put_one(c, f))
LOCKED(int, putchar, (int c), stdout, put_one(c, stdout))
LOCKED(int, fputs, (const char *s, FILE *f), f, put(f, s, strlen(s)) == strlen(s) ? 1 : EOF)
LOCKED(int, puts, (const char *s), stdout, put_line(s))
LOCKED(size_t, fwrite, (const void *from, size_t size, size_t n, FILE *f), f,
       size &&n ? put(f, from, size *n) / size : 0)
LOCKED(int, vfprintf, (FILE * f, const char *format, va_list list), f, print(f, format, list))
LOCKED(int, vprintf, (const char *format, va_list list), stdout, print(stdout, format, list))

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
    if (__fpending(f) && veneer_file_may_stop(f) && !veneer_file_wait(f, POLLOUT))
        result = EOF;
    else
        result = fflush(f);
    funlockfile(f);
    return result;
}
