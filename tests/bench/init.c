/* Stands for systemd as PID 1: blocks SIGRTMIN+3 and reads it from a descriptor, as often as it comes (sigwait would
 * unblock it meanwhile); SIGTERM ends it, with an error. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

int main(void)
{
    struct signalfd_siginfo got;
    sigset_t awaited;
    int fd;

    sigemptyset(&awaited);
    sigaddset(&awaited, SIGTERM);
    sigaddset(&awaited, SIGRTMIN + 3);
    sigprocmask(SIG_BLOCK, &awaited, NULL);
    fd = signalfd(-1, &awaited, SFD_CLOEXEC);
    while (read(fd, &got, sizeof got) == sizeof got && got.ssi_signo != SIGTERM)
        ;
    return 1;
}
