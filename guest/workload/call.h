/* A function in memory of its own, called while its page and its process have all kinds of things happen to them. */
#ifndef PTMON_CALL_H
#define PTMON_CALL_H

#include <stdbool.h>
#include <stdint.h>

/* Puts the function at va, in a page that is writable and executable, or sealed: executable once it is written. */
const char *do_code(uint64_t va, bool sealed);

/* Calls the function at va so many times, and reports how often this process and its children have called it. */
const char *do_call(uint64_t va, uint64_t rounds);

#endif
