/* Many known changes, quickly, and a report of all of them afterwards. */
#ifndef PTMON_LOOP_H
#define PTMON_LOOP_H

#include <stdint.h>

#define LOOP_THREADS 8

/*
 * Each of `threads` threads works on `pages` pages of its own for `rounds` rounds of the kind of change that `kind` names:
 * fault, remap, protect, move, cow, swap, or mix, which draws one of them (without cow and swap) for each round.
 * Thread t's pages begin at va + t * stride, the place that its moves go to at half a stride further.
 */
const char *do_loop(const char *kind, uint64_t rounds, uint64_t va, uint64_t pages, uint64_t stride, uint64_t threads,
                    uint64_t seed);

#endif
