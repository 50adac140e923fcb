/* The command lines that the host sends: guest/README.md lists them. */
#ifndef PTMON_COMMAND_H
#define PTMON_COMMAND_H

/* Carries one out and reports what it did; returns NULL, or an error message. Changes the text. */
const char *run_command(char *text);

/* Says who this process is and what the guest has. */
void say_hello(void);

/* Reads commands from the control port until it closes. Each is answered by its reports and one last line. */
void serve_commands(int fd);

#endif
