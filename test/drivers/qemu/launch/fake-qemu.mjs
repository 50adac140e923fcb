/**
 * Stands in for QEMU: takes its command line, connects the serial ports, listens where QEMU would, and plays a guest. What it
 * plays is the word after `-play`.
 */
import { createServer, connect } from 'node:net';
import { writeFileSync } from 'node:fs';
import process from 'node:process';

const args = process.argv.slice(2);

/** What follows an option, each time. @param {string} option */
function valuesOf(option) {
  return args.flatMap((word, index) => (word === option ? [args[index + 1] ?? ''] : []));
}

/** @param {string} text @param {RegExp} pattern */
function pick(text, pattern) {
  return pattern.exec(text)?.[1] ?? '';
}

const [play = 'guest'] = valuesOf('-play');
const [object = ''] = valuesOf('-object');
const ramFile = pick(object, /mem-path=([^,]*)/);

if (play === 'refuse') {
  process.stderr.write(`qemu-system-x86_64: unsupported machine type with ${ramFile}\n`);
  process.exit(1);
}
if (play === 'stubborn') process.on('SIGTERM', () => {});

writeFileSync(ramFile, 'RAM');

const [console, control] = valuesOf('-chardev').map((text) => connect(pick(text, /path=(.*)/)));
if (play !== 'deaf') {
  for (const option of ['-qmp', '-gdb']) createServer().listen(pick(valuesOf(option)[0] ?? '', /unix:([^,]*)/));
}

console?.write('[    0.000000] Linux version 6.1.0\r\n[    0.500000] half a li');
const facts = {
  release: '6.1.0',
  cpus: 1,
  la57: false,
  pti: false,
  kaslr: true,
  pagemap: true,
  hugePages: 'always',
  swap: false,
  shell: false,
  firstVa: '0x1000',
  beacon: '0x2000',
  beaconMagic: '0x3',
  tscHertz: 1,
};
let pid = 80;

/** @param {object} report */
function say(report) {
  control?.write(`${JSON.stringify(report)}\n`);
}

/** What a command does. @type {Record<string, (command: string) => void>} */
const commands = {
  exit: () => {
    say({ op: 'ended', pid, status: 0 });
    pid += 1;
    setTimeout(() => say({ op: 'hello', pid, ...facts }), 50);
  },
  reboot: () => {
    setTimeout(() => say({ op: 'hello', pid: (pid += 1), ...facts }), 50);
  },
  die: () => {
    // As for a feature that TCG lacks, once for each vCPU.
    for (let vcpu = 0; vcpu < 2; vcpu++) process.stderr.write('qemu-system-x86_64: warning: no such feature\n');
    console?.write('ne\r\nKernel panic - not syncing\r\n');
    setTimeout(() => process.exit(3), 50);
  },
  crash: () => {
    say({ op: 'ended', pid, status: 139 });
    pid += 1;
    say({ op: 'hello', pid, ...facts });
  },
  gibberish: () => void control?.write('segfault at 0\n'),
};

let input = '';
control?.on('data', (data) => {
  const lines = (input + data.toString()).split('\n');
  input = lines.pop() ?? '';
  for (const command of lines) {
    const [word = ''] = command.split(' ');
    if (word === 'fail') say({ op: 'error', command, error: 'madvise: Invalid argument' });
    else if (word === 'touch') {
      // In two pieces, as serial ports deliver.
      const line = `${JSON.stringify({ op: 'touch', pid, va: '0x1000', pages: 1, before: null, pfn: '0x5' })}\n`;
      control.write(line.slice(0, 20));
      setTimeout(() => {
        control.write(line.slice(20));
        say({ op: 'done', command });
      }, 5);
    } else if (word === 'never') continue;
    else {
      if (word !== 'die' && word !== 'crash') say({ op: 'done', command });
      commands[word]?.(command);
    }
  }
});
if (play !== 'hang' && play !== 'deaf') say({ op: 'hello', pid, ...facts });
