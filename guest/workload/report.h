/* What the workload says: one JSON object on each line of the control port, each line in one write. */
#ifndef PTMON_REPORT_H
#define PTMON_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where lines go; standard output until it is set. */
void report_to(int fd);

/* Lines are written by the process that makes them, so begin, add and end belong to one thread. */
void line_begin(const char *op);
void line_text(const char *key, const char *text, size_t length);
void line_string(const char *key, const char *text);
void line_number(const char *key, uint64_t value);
void line_hex(const char *key, uint64_t value);
void line_null(const char *key);
void line_bool(const char *key, bool value);
void line_end(void);

#endif
