/** The fastest that a gdbstub can be driven: a socket that answers each stop with `vCont;c`, and does nothing else. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** @param {string} payload */
function framed(payload) {
  const sum = Buffer.from(payload, 'latin1').reduce((all, byte) => all + byte, 0);
  return `$${payload}#${(sum & 0xff).toString(16).padStart(2, '0')}`;
}

/**
 * Sets watchpoints, and resumes the guest at each stop for as long as `work` takes.
 *
 * @param {string} path of the stub's socket
 * @param {readonly { va: bigint, byteLength: number }[]} watches
 * @param {() => Promise<unknown>} work
 * @returns {Promise<number>} stops a second
 */
export async function bareStopsPerSecond(path, watches, work) {
  const socket = connect(path).setNoDelay(true).setEncoding('latin1');
  await once(socket, 'connect');
  let heard = '';
  let wake = () => {};
  socket.on('data', (text) => {
    heard += text;
    wake();
  });
  /** @param {RegExp} packet */
  const expectPacket = async (packet) => {
    for (;;) {
      const found = packet.exec(heard);
      if (found !== null) {
        heard = heard.slice(found.index + found[0].length);
        return;
      }
      await new Promise((resolve) => {
        wake = () => resolve(undefined);
      });
    }
  };
  // Connecting has stopped the guest.
  await expectPacket(/\$T[^#]*#../);
  socket.write('+');
  for (const { va, byteLength } of watches) {
    socket.write(framed(`Z2,${va.toString(16)},${byteLength.toString(16)}`));
    await expectPacket(/\$OK#../);
    socket.write('+');
  }
  socket.removeAllListeners('data');
  const resume = `+${framed('vCont;c')}`;
  let stops = 0;
  let isOver = false;
  let stopped = () => {};
  socket.on('data', (text) => {
    if (!String(text).includes('$T')) return;
    stops++;
    if (isOver) stopped();
    else socket.write(resume);
  });
  const startMs = performance.now();
  socket.write(framed('vCont;c'));
  await work();
  const seconds = (performance.now() - startMs) / 1000;
  const counted = stops;
  isOver = true;
  const last = new Promise((resolve) => {
    stopped = () => resolve(undefined);
  });
  socket.write('\x03');
  await last;
  socket.write(`+${framed('D;1')}`);
  await once(socket, 'data');
  socket.destroy();
  // QEMU accepts the next client when it has noticed.
  await sleep(100);
  return counted / seconds;
}
