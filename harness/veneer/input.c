/*
 * input.c - reading from a FILE (stdio.c: writing). The C library waits in the kernel, in the
 * middle of a call; where others run on the same kernel thread they would stand still. So what is
 * not in the buffer of the FILE is waited for first, in one of the ways of wait.c, and then asked
 * for.
 *
 * Each is a cancellation point where it waits, as in the C library (POSIX.1-2017 XSH 2.9.5.2 lets
 * them be), and lets go of the FILE then; writing is none. scanf and its like are one at their
 * first character only: what they have taken is not lost.
 */
#include "veneer.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/stat.h>

void WRAP(flockfile)(FILE *file); /* stdio.c */
int WRAP(pthread_setcancelstate)(int state, int *old);

#define IN_BACKUP 0x100 /* glibc, libio.h: what ungetc gave back is read, and the rest saved */

static size_t buffered(const FILE *f)
{
    size_t n = f->_IO_read_ptr < f->_IO_read_end ? (size_t)(f->_IO_read_end - f->_IO_read_ptr) : 0;

    return f->_flags & IN_BACKUP ? n + (size_t)(f->_IO_save_end - f->_IO_save_base) : n;
}

/* errno is as it was. */
static bool may_wait(FILE *f)
{
    int saved = errno, fd, flags;
    struct stat st;
    bool may;

    if (!veneer.running)
        return false;
    fd = fileno_unlocked(f);
    flags = fd < 0 ? O_NONBLOCK : fcntl(fd, F_GETFL);
    may = flags >= 0 && !(flags & O_NONBLOCK) && !fstat(fd, &st) && !S_ISREG(st.st_mode);
    errno = saved;
    return may;
}

bool veneer_file_may_stop(FILE *f)
{
    return !veneer.blocks_alone && may_wait(f);
}

/* What is shown to somebody who is to answer, a prompt, is to be seen before the wait. */
static void show_lines(void)
{
    if (__flbf(stdout) && __fpending(stdout) && !ftrylockfile(stdout)) {
        fflush_unlocked(stdout);
        funlockfile(stdout);
    }
}

static bool waited(FILE *f, int err)
{
    if (err != EINTR)
        return true;
    f->_flags |= _IO_ERR_SEEN;
    errno = EINTR;
    return false;
}

bool veneer_file_wait(FILE *f, short events)
{
    int old, err;

    __wrap_pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    err = veneer_wait_fd(fileno_unlocked(f), events);
    __wrap_pthread_setcancelstate(old, NULL);
    return waited(f, err);
}

static long wait_input(const long *a)
{
    return veneer_wait_fd((int)a[0], POLLIN);
}

static void let_go(void *file)
{
    funlockfile(file);
}

/* Until a character is there, the end or an error. */
static bool fill(FILE *f)
{
    if (buffered(f) || feof_unlocked(f) || !may_wait(f))
        return true;
    show_lines();
    return waited(f, (int)veneer_point(wait_input, (const long[]){fileno_unlocked(f)}, let_go, f));
}

static int get(FILE *f)
{
    return fill(f) ? fgetc_unlocked(f) : EOF;
}

int WRAP(fgetc)(FILE *f);
int WRAP(fgetc)(FILE *f)
{
    int c;

    __wrap_flockfile(f);
    c = get(f);
    funlockfile(f);
    return c;
}

int WRAP(getc)(FILE *f);
int WRAP(getc)(FILE *f)
{
    return __wrap_fgetc(f);
}

int WRAP(getchar)(void);
int WRAP(getchar)(void)
{
    return __wrap_fgetc(stdin);
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* It ends within what is in the buffer, or `most` characters are there: the kernel is asked
 * nothing. */
static bool line_is_here(const FILE *f, int end, size_t most)
{
    size_t here =
        f->_IO_read_ptr < f->_IO_read_end ? (size_t)(f->_IO_read_end - f->_IO_read_ptr) : 0;

    return here >= most || (here && memchr(f->_IO_read_ptr, end, here));
}

static char *gets_now(char *to, int size, FILE *f)
{
    int n = 0, c = 0;

    if (size < 2 || line_is_here(f, '\n', (size_t)size - 1) || !may_wait(f))
        return fgets_unlocked(to, size, f);
    while (n < size - 1 && c != '\n' && (c = get(f)) != EOF)
        to[n++] = (char)c;
    if (!n || (c == EOF && ferror_unlocked(f)))
        return NULL;
    to[n] = '\0';
    return to;
}

char *WRAP(fgets)(char *to, int size, FILE *f);
char *WRAP(fgets)(char *to, int size, FILE *f)
{
    char *result;

    __wrap_flockfile(f);
    result = gets_now(to, size, f);
    funlockfile(f);
    return result;
}

static bool room_for(char **line, size_t *size, size_t wanted)
{
    size_t more = *size < 120 ? 120 : 2 * *size;
    char *grown;

    if (*line && wanted <= *size)
        return true;
    if (!*line)
        more = 120;
    grown = veneer_program_realloc(*line, more);
    if (!grown)
        return false;
    *line = grown;
    *size = more;
    return true;
}

static ssize_t getdelim_now(char **line, size_t *size, int end, FILE *f)
{
    size_t n = 0;
    int c;

    if (!line || !size || line_is_here(f, end, SIZE_MAX) || !may_wait(f))
        return getdelim(line, size, end, f);
    do {
        c = get(f);
        if (c == EOF)
            break;
        if (!room_for(line, size, n + 2)) {
            f->_flags |= _IO_ERR_SEEN;
            return -1;
        }
        (*line)[n++] = (char)c;
    } while (c != end);
    if (!n || (c == EOF && ferror_unlocked(f)))
        return -1;
    (*line)[n] = '\0';
    return (ssize_t)n;
}

ssize_t WRAP(getdelim)(char **line, size_t *size, int end, FILE *f);
ssize_t WRAP(getdelim)(char **line, size_t *size, int end, FILE *f)
{
    ssize_t result;

    __wrap_flockfile(f);
    result = getdelim_now(line, size, end, f);
    funlockfile(f);
    return result;
}

/* <stdio.h> makes this of getline when it optimises. */
ssize_t WRAP(__getdelim)(char **line, size_t *size, int end, FILE *f);
ssize_t WRAP(__getdelim)(char **line, size_t *size, int end, FILE *f)
{
    return __wrap_getdelim(line, size, end, f);
}

ssize_t WRAP(getline)(char **line, size_t *size, FILE *f);
ssize_t WRAP(getline)(char **line, size_t *size, FILE *f)
{
    return __wrap_getdelim(line, size, '\n', f);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static size_t read_now(char *to, size_t bytes, FILE *f)
{
    size_t done = 0;

    while (done < bytes) {
        size_t here = buffered(f);
        int c;

        if (here) {
            here = here < bytes - done ? here : bytes - done;
            done += fread_unlocked(to + done, 1, here, f);
            continue;
        }
        c = get(f);
        if (c == EOF)
            break;
        to[done++] = (char)c;
    }
    return done;
}

size_t WRAP(fread)(void *to, size_t size, size_t n, FILE *f);
size_t WRAP(fread)(void *to, size_t size, size_t n, FILE *f)
{
    size_t bytes, result;

    __wrap_flockfile(f);
    if (!__builtin_mul_overflow(size, n, &bytes) && buffered(f) < bytes && may_wait(f))
        result = read_now(to, bytes, f) / size;
    else
        result = fread_unlocked(to, size, n, f);
    funlockfile(f);
    return result;
}

/* ---- scanf ----------------------------------------------------------------------------------- */

/* What scanf reads: the next character of the FILE behind, waited for. */
static ssize_t next(void *behind, char *to, size_t size)
{
    FILE *f = behind;
    int c = size ? get(f) : EOF;

    if (c == EOF)
        return ferror_unlocked(f) ? -1 : 0;
    *to = (char)c;
    return 1;
}

/* Its lock is held, and the first character there. */
static int scan(FILE *f, const char *format, va_list list)
{
    FILE *own;
    int result, old, c;

    if (!veneer_file_may_stop(f))
        return vfscanf(f, format, list);
    own = fopencookie(f, "r", (cookie_io_functions_t){.read = next});
    if (!own)
        return EOF;
    setvbuf(own, NULL, _IONBF, 0); /* it takes no character that it is not asked for */
    __wrap_pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    result = vfscanf(own, format, list);
    if (buffered(own) && (c = fgetc_unlocked(own)) != EOF)
        ungetc(c, f); /* the one that ended the last number, as scanf gives it back */
    fclose(own);
    __wrap_pthread_setcancelstate(old, NULL);
    return result;
}

int WRAP(__isoc99_vfscanf)(FILE *f, const char *format, va_list list);
int WRAP(__isoc99_vfscanf)(FILE *f, const char *format, va_list list)
{
    int result;

    __wrap_flockfile(f);
    result = fill(f) ? scan(f, format, list) : EOF;
    funlockfile(f);
    return result;
}

int WRAP(__isoc99_vscanf)(const char *format, va_list list);
int WRAP(__isoc99_vscanf)(const char *format, va_list list)
{
    return __wrap___isoc99_vfscanf(stdin, format, list);
}

#define SCANS(name, file, parameters)                         \
    int WRAP(name) parameters;                                \
    int WRAP(name) parameters                                 \
    {                                                         \
        va_list list;                                         \
        int result;                                           \
        va_start(list, format);                               \
        result = __wrap___isoc99_vfscanf(file, format, list); \
        va_end(list);                                         \
        return result;                                        \
    }
SCANS(__isoc99_scanf, stdin, (const char *format, ...))
SCANS(__isoc99_fscanf, f, (FILE * f, const char *format, ...))
