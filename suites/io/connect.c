/*
 * connect.c - io.connect-tcp: what connect answers when the answer comes later.
 */
#include <netinet/in.h>

#include "waits.h"

#include "../common/mutant.h"

#define ROUNDS 20

static int server;
static struct sockaddr_in where;

static bool tcp_listen(void)
{
    socklen_t size = sizeof(where);

    where = (struct sockaddr_in){.sin_family = AF_INET,
                                 .sin_addr = {htonl(INADDR_LOOPBACK)}}; /* any free port */
    server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return system_call(server >= 0, "socket") &&
           system_call(!bind(server, (void *)&where, sizeof(where)), "bind") &&
           system_call(!listen(server, 8), "listen") &&
           system_call(!getsockname(server, (void *)&where, &size), "getsockname");
}

static int tcp_connect(int *fd)
{
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return system_call(*fd >= 0, "socket") ? io_connect(ctx, *fd, &where, sizeof(where)) : EBADF;
}

static void *server_main(void *arg)
{
    int fd = -1;
    size_t done;

    for (int i = 0; i < ROUNDS && tl_verdict(ctx) == TL_OK; i++) {
        if (!TL_CALL(ctx, io_accept(ctx, server, SOCK_CLOEXEC, &fd)))
            break;
        TL_CALL(ctx, io_write(ctx, fd, "hello", 5, &done));
        close(fd);
    }
    return arg;
}

static void one_call(void)
{
    char bytes[8] = "";
    size_t done = 0;
    int fd, err = tcp_connect(&fd);

    TL_EXPECT(ctx, !err, "connect answered %d", err);
    if (!err && TL_CALL(ctx, io_read(ctx, fd, bytes, 5, &done)))
        TL_EXPECT(ctx, done >= 1 && !memcmp(bytes, "hello", done), "read %zu bytes", done);
    TL_ANSWERS(ctx, io_connect(ctx, fd, &where, sizeof(where)), EISCONN);
    TL_EXPECT(ctx, !(fcntl(fd, F_GETFL) & O_NONBLOCK), "the socket has got O_NONBLOCK");
    close(fd);
}

static enum tl_status run(struct tl_ctx *c)
{
    struct tl_thread t;
    int fd, err;

    ctx = c;
    if (waits_refused(c, CONNECT))
        return tl_refused(c, waits_refused(c, CONNECT));
    if (!tcp_listen())
        return tl_verdict(c);
    if (tl_start(c, 1, &t, server_main, NULL)) {
        for (int i = 0; i < ROUNDS && tl_verdict(c) == TL_OK; i++)
            one_call();
        if (tl_verdict(c) != TL_OK)
            shutdown(server, SHUT_RDWR); /* nobody else will come */
        tl_finish(c, t);
    }
    close(server);
    err = tcp_connect(&fd);
    TL_EXPECT(c, err == ECONNREFUSED, "connect to nobody answered %d, not ECONNREFUSED", err);
    close(fd);
    return tl_verdict(c);
}

static const struct tl_check connect_tcp = {
    .abi = TL_ABI,
    .name = "io.connect-tcp",
    .group = "Blocking calls",
    .promise = "connect by TCP answers 0 when the connection is there, and ECONNREFUSED where "
               "nobody listens",
    .source = "POSIX.1-2017 XSH connect",
    .method = "a thread accepts 20 connections by the loopback interface and writes to each; the "
              "first thread connects, reads, connects again (EISCONN); then the listener is closed",
    .meaning = "a library that begins the connection without waiting has to ask for its outcome "
               "(SO_ERROR); one that does not takes a refusal for success, or reads too early",
    .flags = TL_CHECK_CONCURRENT,
    .run = run,
};
TL_CHECK(connect_tcp);

/* ---- mutant ---------------------------------------------------------------------------------- */

static const struct tl_io_ops *sound;

static int connect_unasked(int fd, const struct sockaddr *to, unsigned size)
{
    int err = sound->connect(fd, to, size);

    return err == ECONNREFUSED ? 0 : err;
}

static void apply(struct tl_impl *impl)
{
    sound = impl->io;
    TL_MUTATE(impl, io)->connect = connect_unasked;
}
MUTANT(unasked, "io-connect-never-asks",
       "connect does not ask how it ended: whoever is refused is told that he is connected",
       "io.connect-tcp", "green ucontext hybrid clone", apply);
