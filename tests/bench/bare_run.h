/* The least that a run of a program can be: posix_spawn(3) with two pipes that are read to
 * their end, and waited for. */
#ifndef BARE_RUN_H
#define BARE_RUN_H

#include <spawn.h>
#include <unistd.h>

#include <sys/wait.h>

#include "bench.h"

static const char *const bare_environment[] = {"PATH=/usr/bin:/bin", NULL};

static inline void read_to_end(int fd)
{
    char buffer[4096];

    while (read(fd, buffer, sizeof(buffer)) > 0) {
    }
    close(fd);
}

static inline void bare_run(const char *program)
{
    char *const arguments[] = {(char *)program, NULL};
    posix_spawn_file_actions_t actions;
    int pipes[2][2];
    int status = -1;
    pid_t pid;

    must_be(pipe(pipes[0]) == 0 && pipe(pipes[1]) == 0, "pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", 0, 0);
    for (int i = 0; i < 2; i++) {
        posix_spawn_file_actions_adddup2(&actions, pipes[i][1], i + 1);
        posix_spawn_file_actions_addclose(&actions, pipes[i][0]);
        posix_spawn_file_actions_addclose(&actions, pipes[i][1]);
    }
    must_be(posix_spawn(&pid, program, &actions, NULL, arguments,
                        (char *const *)bare_environment) == 0, "posix_spawn");
    posix_spawn_file_actions_destroy(&actions);
    for (int i = 0; i < 2; i++) {
        close(pipes[i][1]);
        read_to_end(pipes[i][0]);
    }
    must_be(waitpid(pid, &status, 0) == pid && status == 0, program);
}

#endif
