#ifndef PTMON_INIT_H
#define PTMON_INIT_H

/* The guest's first process: mounts, modules, swap; then keeps one workload alive on the control port. Never returns. */
void be_init(void);

#endif
