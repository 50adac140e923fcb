/* A little of everything, slowly enough to watch. */
#ifndef PTMON_PLAY_H
#define PTMON_PLAY_H

#include <stdint.h>

/* One operation every so many milliseconds on a mapping of its own, `count` times, or until the host sends anything. */
const char *do_play(uint64_t interval_ms, uint64_t count);

#endif
