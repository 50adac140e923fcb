/** What QEMU's own command line tells of its VM: where it listens, what runs the guest's instructions, where its RAM is. */
import { IMPLIED, optionsOf, parseOptionList, parseSize } from './option-list.ts';

export interface QemuCommandLine {
  /** `-name`; undefined where it has none. */
  readonly name: string | undefined;
  /** The QMP sockets, as addresses that a client takes: `unix:PATH`, `host:port`, `virsh:NAME`. */
  readonly qmp: readonly string[];
  readonly gdb: string | undefined;
  /** The first of `-accel` or `-machine accel=`; `tcg` is QEMU's default. */
  readonly accelerator: string;
  readonly memoryBytes: number;
  /** Whether all of its RAM backends are files, or memfds, that other processes can share. */
  readonly sharesMemory: boolean;
}

/** 128 MiB: QEMU's default (hw/core/machine.c). */
const DEFAULT_MEMORY_BYTES = 128 * 1024 ** 2;
const DEFAULT_GDB = ':1234';

/** @param args what follows the program's name */
export function readQemuCommandLine(args: readonly string[]): QemuCommandLine {
  const options = optionsOf(args);
  const valuesOf = (...names: readonly string[]) =>
    options.flatMap(([name, value]) => (names.includes(name) && value !== undefined ? [value] : []));
  const has = (name: string) => options.some(([option]) => option === name);

  const chardevs = new Map(
    valuesOf('chardev')
      .map(parseOptionList)
      .map((list) => [list.get('id') ?? '', socketOf(list)] as const),
  );
  const addressOf = (device: string) =>
    device.startsWith('chardev:') ? chardevs.get(device.slice('chardev:'.length)) : addressOfDevice(device);

  const monitors = valuesOf('mon')
    .map(parseOptionList)
    .filter((list) => list.get('mode') === 'control')
    .map((list) => chardevs.get(list.get('chardev') ?? list.get(IMPLIED) ?? ''));
  const name = nameOf(valuesOf('name').at(-1));
  // libvirt opens its socket itself, hands it on, and is its one client: virsh speaks for it.
  const isLibvirts = valuesOf('chardev').some((text) => {
    const list = parseOptionList(text);
    return list.get('id') === 'charmonitor' && list.has('fd');
  });
  const domain = isLibvirts && name !== undefined ? [`virsh:${name}`] : [];
  const backends = valuesOf('object')
    .map(parseObject)
    .filter((list) => list.get(IMPLIED)?.startsWith('memory-backend-') === true);
  const gdb = valuesOf('gdb').at(-1);
  return {
    name,
    qmp: [...valuesOf('qmp', 'qmp-pretty').map(addressOf), ...monitors, ...domain].filter(
      (address) => address !== undefined,
    ),
    gdb: gdb === undefined ? (has('s') ? DEFAULT_GDB : undefined) : addressOf(gdb),
    accelerator: acceleratorOf(valuesOf('accel'), valuesOf('machine', 'M'), has('enable-kvm')),
    memoryBytes: memoryOf(valuesOf('m').at(-1)),
    sharesMemory: backends.length > 0 && backends.every(isShared),
  };
}

/** `-object` also takes JSON. */
function parseObject(text: string): ReadonlyMap<string, string> {
  if (!text.startsWith('{')) return parseOptionList(text);
  try {
    const fields = Object.entries(JSON.parse(text) as Record<string, unknown>);
    return new Map(
      fields.map(([name, value]) => [name === 'qom-type' ? IMPLIED : name, value === true ? 'on' : String(value)]),
    );
  } catch {
    return new Map();
  }
}

function nameOf(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const list = parseOptionList(value);
  return list.get('guest') ?? list.get(IMPLIED);
}

/** `unix:PATH,server=on`, `tcp:HOST:PORT,…`, `tcp::PORT`; undefined for what is no socket that QEMU listens on. */
function addressOfDevice(device: string): string | undefined {
  const first = parseOptionList(device).get(IMPLIED) ?? device;
  const [kind, ...rest] = first.split(':');
  if (kind === 'unix') return first;
  if (kind === 'tcp' || kind === 'telnet') return rest.join(':');
  return undefined;
}

function socketOf(chardev: ReadonlyMap<string, string>): string | undefined {
  const kind = chardev.get(IMPLIED) ?? chardev.get('backend');
  if (kind !== 'socket') return undefined;
  const path = chardev.get('path');
  if (path !== undefined) return `unix:${path}`;
  const port = chardev.get('port');
  if (port === undefined) return undefined;
  const host = chardev.get('host') ?? '';
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** A list as `kvm:tcg` names what QEMU tries in turn; the first one is what is most likely in force. */
function acceleratorOf(accels: readonly string[], machines: readonly string[], enablesKvm: boolean): string {
  if (enablesKvm) return 'kvm';
  const named = accels.map((text) => parseOptionList(text)).map((list) => list.get(IMPLIED) ?? list.get('accel'));
  const ofMachine = machines.map((text) => parseOptionList(text).get('accel')?.split(':')[0]);
  return [...named, ...ofMachine].find((name) => name !== undefined) ?? 'tcg';
}

function memoryOf(value: string | undefined): number {
  if (value === undefined) return DEFAULT_MEMORY_BYTES;
  const list = parseOptionList(value);
  return parseSize(list.get('size') ?? list.get(IMPLIED) ?? '', 'M') ?? DEFAULT_MEMORY_BYTES;
}

function isShared(backend: ReadonlyMap<string, string>): boolean {
  const type = backend.get(IMPLIED);
  // A memfd is shared unless it is told otherwise; a file is not (backends/hostmem-memfd.c, hostmem-file.c).
  const fallback = type === 'memory-backend-memfd' ? 'on' : 'off';
  return type !== 'memory-backend-ram' && ['on', 'yes', 'true'].includes(backend.get('share') ?? fallback);
}
