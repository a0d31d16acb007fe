/*
 * notify.c - SIGEV_THREAD of timer_create and mq_notify. The C library's own threads would run the
 * function, which know nothing of the implementation's; so each timer has a thread that reads a
 * timerfd and creates a thread for each expiration, and each registration of a queue has a thread
 * that waits for the kernel's word, a message on a netlink socket (mq_notify(2)), and runs the
 * function itself.
 *
 * Timers of clocks that timerfd_create(2) does not know, those of CPU time, stay the C library's.
 */
#include "veneer.h"

#include <limits.h>
#include <linux/netlink.h>
#include <mqueue.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

int WRAP(pthread_create)(pthread_t *id, const pthread_attr_t *attr, void *(*f)(void *), void *arg);
int WRAP(pthread_sigmask)(int how, const sigset_t *set, sigset_t *old);
ssize_t WRAP(read)(int fd, void *buffer, size_t size);
ssize_t WRAP(recv)(int fd, void *buffer, size_t size, int flags);

/* What is to run. */
struct function {
    void (*run)(union sigval);
    union sigval value;
};

static void *function_main(void *arg)
{
    struct function f = *(struct function *)arg;

    free(arg);
    f.run(f.value);
    return NULL;
}

/* Detached, with what is the caller's: sizes and scheduling of `from`, or defaults for NULL. */
static int attr_make(pthread_attr_t *attr, const pthread_attr_t *from)
{
    int err = pthread_attr_init(attr), how;
    struct sched_param param;
    size_t size;

    if (err)
        return err;
    pthread_attr_setdetachstate(attr, PTHREAD_CREATE_DETACHED);
    if (!from)
        return 0;
    if (!pthread_attr_getstacksize(from, &size) && size)
        pthread_attr_setstacksize(attr, size);
    if (!pthread_attr_getguardsize(from, &size))
        pthread_attr_setguardsize(attr, size);
    if (!pthread_attr_getschedpolicy(from, &how))
        pthread_attr_setschedpolicy(attr, how);
    if (!pthread_attr_getschedparam(from, &param))
        pthread_attr_setschedparam(attr, &param);
    if (!pthread_attr_getinheritsched(from, &how))
        pthread_attr_setinheritsched(attr, how);
    return 0;
}

static int function_start(const pthread_attr_t *attr, const struct function *f)
{
    struct function *copy = malloc(sizeof *copy);
    pthread_t id;
    int err = copy ? 0 : EAGAIN;

    if (copy) {
        *copy = *f;
        err = __wrap_pthread_create(&id, attr, function_main, copy);
    }
    if (err)
        free(copy);
    return err;
}

static void mask(const sigset_t *set, sigset_t *old)
{
    __wrap_pthread_sigmask(SIG_SETMASK, set, old);
}

/* A thread of ours, which takes no signals of the program's. */
static int start(const pthread_attr_t *attr, void *(*f)(void *), void *arg)
{
    sigset_t all, old;
    pthread_t id;
    int err;

    sigfillset(&all);
    mask(&all, &old);
    err = __wrap_pthread_create(&id, attr, f, arg);
    mask(&old, NULL);
    return err;
}

/* ---- timers ---------------------------------------------------------------------------------- */

/* Invariant: one in the list has its descriptor open; its thread takes it out of memory once it is
 * not in the list. Guarded by `lock`. A child of fork has none of them. */
struct timer {
    int fd;
    pid_t pid;
    struct function function;
    pthread_attr_t attr;
    _Atomic int overrun, deleted;
    struct timer *next;
};

static _Atomic int lock;
static struct timer *timers;

/* With the lock. NULL: the id is one of the kernel's, or of nobody. */
static struct timer **find(timer_t id)
{
    struct timer **at = &timers;

    while (*at && (*at != (struct timer *)id || (*at)->pid != getpid()))
        at = &(*at)->next;
    return *at ? at : NULL;
}

static void *timer_main(void *arg)
{
    struct timer *t = arg;
    sigset_t all, none;
    uint64_t times;
    ssize_t n;

    sigfillset(&all);
    sigemptyset(&none);
    for (;;) {
        n = __wrap_read(t->fd, &times, sizeof times);
        if (atomic_load(&t->deleted))
            break;
        if (n != sizeof times)
            continue; /* a handler, or the clock was set */
        atomic_store(&t->overrun, times - 1 > INT_MAX ? INT_MAX : (int)(times - 1));
        mask(&none, NULL); /* as the thread that is created has it */
        function_start(&t->attr, &t->function);
        mask(&all, NULL);
    }
    veneer_lock(&lock); /* who deletes it is done with it */
    veneer_unlock(&lock);
    close(t->fd);
    pthread_attr_destroy(&t->attr);
    free(t);
    return NULL;
}

static int timer_make(clockid_t clock, const struct sigevent *event, timer_t *id)
{
    struct timer *t = calloc(1, sizeof *t);
    pthread_attr_t attr;
    int err = t ? 0 : EAGAIN;

    if (t) {
        t->fd = timerfd_create(clock, TFD_CLOEXEC);
        err = t->fd < 0 ? errno : attr_make(&t->attr, event->sigev_notify_attributes);
    }
    if (err) {
        if (t && t->fd >= 0)
            close(t->fd);
        free(t);
        return err;
    }
    t->pid = getpid();
    t->function = (struct function){event->sigev_notify_function, event->sigev_value};
    attr_make(&attr, NULL);
    err = start(&attr, timer_main, t);
    pthread_attr_destroy(&attr);
    if (err) {
        close(t->fd);
        pthread_attr_destroy(&t->attr);
        free(t);
        return EAGAIN;
    }
    veneer_lock(&lock);
    t->next = timers;
    timers = t;
    veneer_unlock(&lock);
    *id = (timer_t)t;
    return 0;
}

int WRAP(timer_create)(clockid_t clock, struct sigevent *event, timer_t *id);
int WRAP(timer_create)(clockid_t clock, struct sigevent *event, timer_t *id)
{
    int err;

    if (!veneer.running || !event || event->sigev_notify != SIGEV_THREAD)
        return timer_create(clock, event, id);
    err = timer_make(clock, event, id);
    return err == EINVAL ? timer_create(clock, event, id) : veneer_answer(err);
}

int WRAP(timer_delete)(timer_t id);
int WRAP(timer_delete)(timer_t id)
{
    const struct itimerspec now = {.it_value = {.tv_nsec = 1}};
    struct timer **at, *t;

    veneer_lock(&lock);
    at = find(id);
    t = at ? *at : NULL;
    if (t) {
        *at = t->next;
        atomic_store(&t->deleted, 1);
        timerfd_settime(t->fd, 0, &now, NULL); /* wakes its thread */
    }
    veneer_unlock(&lock);
    return t ? 0 : timer_delete(id);
}

int WRAP(timer_settime)(timer_t id, int flags, const struct itimerspec *to, struct itimerspec *old);
int WRAP(timer_settime)(timer_t id, int flags, const struct itimerspec *to, struct itimerspec *old)
{
    struct timer **at;
    int answer = 0;

    veneer_lock(&lock);
    at = find(id);
    if (at)
        answer = timerfd_settime((*at)->fd, flags & TIMER_ABSTIME ? TFD_TIMER_ABSTIME : 0, to, old);
    veneer_unlock(&lock);
    return at ? answer : timer_settime(id, flags, to, old);
}

int WRAP(timer_gettime)(timer_t id, struct itimerspec *left);
int WRAP(timer_gettime)(timer_t id, struct itimerspec *left)
{
    struct timer **at;
    int answer = 0;

    veneer_lock(&lock);
    at = find(id);
    if (at)
        answer = timerfd_gettime((*at)->fd, left);
    veneer_unlock(&lock);
    return at ? answer : timer_gettime(id, left);
}

int WRAP(timer_getoverrun)(timer_t id);
int WRAP(timer_getoverrun)(timer_t id)
{
    struct timer **at;
    int answer = 0;

    veneer_lock(&lock);
    at = find(id);
    if (at)
        answer = atomic_load(&(*at)->overrun);
    veneer_unlock(&lock);
    return at ? answer : timer_getoverrun(id);
}

/* ---- message queues -------------------------------------------------------------------------- */

/* What the kernel sends: our bytes, the last of them its word. */
#define COOKIE 32
#define WOKEN 1 /* NOTIFY_WOKENUP of the kernel's; else the registration was removed */

struct registration {
    int socket;
    struct function function;
};

static void *queue_main(void *arg)
{
    struct registration r = *(struct registration *)arg;
    unsigned char cookie[COOKIE] = {0};
    sigset_t none;
    ssize_t n;

    free(arg);
    while ((n = __wrap_recv(r.socket, cookie, sizeof cookie, 0)) < 0 && errno == EINTR)
        ;
    close(r.socket);
    if (n == COOKIE && cookie[COOKIE - 1] == WOKEN) {
        sigemptyset(&none);
        mask(&none, NULL);
        r.function.run(r.function.value);
    }
    return NULL;
}

static int queue_make(mqd_t queue, const struct sigevent *event)
{
    static unsigned char cookie[COOKIE];
    struct registration *r = malloc(sizeof *r);
    struct sigevent told = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_ptr = cookie};
    pthread_attr_t attr;
    int err = 0, fd;

    if (!r)
        return ENOMEM;
    fd = r->socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
    r->function = (struct function){event->sigev_notify_function, event->sigev_value};
    told.sigev_signo = fd;
    if (fd < 0 || syscall(SYS_mq_notify, queue, &told))
        err = errno;
    if (!err) {
        attr_make(&attr, event->sigev_notify_attributes);
        err = start(&attr, queue_main, r);
        pthread_attr_destroy(&attr);
        if (err)
            syscall(SYS_mq_notify, queue, NULL);
    }
    if (err) {
        if (fd >= 0)
            close(fd);
        free(r);
    }
    return err;
}

int WRAP(mq_notify)(mqd_t queue, const struct sigevent *event);
int WRAP(mq_notify)(mqd_t queue, const struct sigevent *event)
{
    if (!veneer.running || !event || event->sigev_notify != SIGEV_THREAD)
        return mq_notify(queue, event);
    return veneer_answer(queue_make(queue, event));
}
