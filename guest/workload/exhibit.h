/* A process to look at: it has one of every kind of memory that /proc/PID/maps can show, and does nothing. */
#ifndef PTMON_EXHIBIT_H
#define PTMON_EXHIBIT_H

/* Starts it, with two more threads, as another user, under a name; says its number. It ends with the process that started it. */
const char *do_exhibit(const char *name);

#endif
