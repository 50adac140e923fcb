/** What `ptmon --help` and ptmon(1) say of the whole. */

export const ABOUT =
  "Watches a virtual machine's page tables from outside and reports which guest virtual address gains, loses or changes the physical memory behind it.";

export const EXIT_CODES = `
Exit codes:
  0    done, or the reader of the output closed it
  1    any other failure; for diff: there are differences; for search: no match
  2    the command line is wrong
  3    the source cannot be reached, or was lost
  4    an input file is corrupt
  5    something of what was asked for is not there: page tables or memory that
       a dump lacks, absent pages, or an address space that maps nothing
  129  the terminal was closed (SIGHUP)
  130  interrupted (Ctrl-C); a second Ctrl-C ends the process at once
  131  ended by SIGQUIT
  143  ended by SIGTERM
`;
