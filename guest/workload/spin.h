/* Work of a fixed amount, timed by the guest; and a place where the host recognises this process. */
#ifndef PTMON_SPIN_H
#define PTMON_SPIN_H

#include <stdint.h>

/* What `beacon` puts in register r15 ("PTMONBCN"), with the process's id in r14; in edi and esi of a 32-bit processor. */
#ifdef __x86_64__
#define BEACON_MAGIC 0x50544d4f4e42434eull
#else
#define BEACON_MAGIC 0x4e42434eu
#endif

/* Ticks of the time stamp counter in a second, measured once. */
uint64_t tsc_hertz(void);

/* Stays in user mode for this long, with the known registers, so that a sampled vCPU shows this process's CR3. */
void beacon(uint64_t milliseconds);
/* The address of the beacon's first instruction, for a breakpoint. */
uint64_t beacon_address(void);

/* compute: `amount` million steps of arithmetic; memory: `amount` MiB of stores; fault: `amount` thousand faults. */
const char *do_spin(const char *kind, uint64_t amount);

#endif
