/* Processes: a child that shares pages and takes commands, many short ones, and a shell. */
#ifndef PTMON_PROCESS_H
#define PTMON_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* Returns NULL or an error message. */
typedef const char *command_runner(char *text);

/* Starts the child, which reports what it sees of these pages and then waits for commands that `run` carries out. */
const char *do_fork(uint64_t va, uint64_t pages, command_runner *run);
bool has_child(void);
/* Has the child carry out a command, and waits until it is done. */
const char *do_child(const char *text);
/* Writes to pages that the child shares; both report what they then have. */
const char *do_cow(uint64_t va, uint64_t pages);
/* Ends the child, if there is one. */
void end_child(void);

/* Starts `count` processes called `name`, at most `parallel` at a time; each touches a page, waits and exits. */
const char *do_storm(uint64_t count, uint64_t parallel, uint64_t sleep_ms, const char *name);

/* NULL where a process has ended with exit status 0, by what waitpid says. */
const char *ended_badly(int status);

/* Runs a command line in the guest's shell and reports each line of its output. */
const char *do_shell(const char *text);

#endif
