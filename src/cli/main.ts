#!/usr/bin/env node
import process from 'node:process';
import { runProgram } from './program.ts';

// Node would open its inspector: a port through which anybody on this host runs code as this user.
process.on('SIGUSR1', () => {});

const args = process.argv.slice(2);
process.exitCode = await runProgram(args, process);

// Timers and servers that a script or a prompt has left would keep the process: it ends once its output is written. Any other command ends by itself,
// when a slow reader has read all of its output.
if (args[0] === 'script' || args[0] === 'repl') process.stdout.write('', () => process.exit());
