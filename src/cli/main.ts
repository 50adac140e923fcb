#!/usr/bin/env node
import process from 'node:process';
import { runProgram } from './program.ts';

// Node would open its inspector: a port through which anybody on this host runs code as this user.
process.on('SIGUSR1', () => {});

process.exitCode = await runProgram(process.argv.slice(2), process);
