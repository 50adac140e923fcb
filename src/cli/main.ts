#!/usr/bin/env node
import process from 'node:process';
import { runProgram } from './program.ts';

// Node would open its inspector: a port through which anybody on this host runs code as this user.
process.on('SIGUSR1', () => {});

// A script may have left timers and servers, which would keep the process.
process.exit(await runProgram(process.argv.slice(2), process));
