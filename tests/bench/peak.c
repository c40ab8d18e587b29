/* Runs a command with its streams closed off and prints the most memory that it had, in KiB. A process inherits the peak
 * of the one that it was made from, so that this small one stands between Python and what is measured. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **words)
{
    struct rusage usage;
    int status;
    pid_t child;

    if (count < 2)
        return 2;
    child = fork();
    if (child == 0) {
        int nothing = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++)
            dup2(nothing, fd);
        execv(words[1], words + 1);
        _exit(127);
    }
    if (wait4(child, &status, 0, &usage) != child || status != 0)
        return 1;
    printf("%ld\n", usage.ru_maxrss);
    return 0;
}
