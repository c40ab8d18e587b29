/* Stands for the real runtime: does nothing, as fast as a process can. Built with STATE it tells that file at `state`,
 * and fails a `kill` whose signal is still 15, so that a call which was to be translated shows that it was. */
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>

int main(int count, char **words)
{
#ifdef STATE
    for (int i = 1; i < count; i++) {
        if (strcmp(words[i], "state") == 0)
            return sendfile(1, open(STATE, O_RDONLY), NULL, 1 << 16) <= 0;
        if (strcmp(words[i], "kill") == 0)
            return strcmp(words[count - 1], "15") == 0;
    }
#endif
    (void)count, (void)words;
    return 0;
}
