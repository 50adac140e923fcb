import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { TextOutput } from '../../src/sinks/text-output.ts';
import { failing, Recorder, settle } from './examples.ts';

describe('back-pressure', () => {
  test('a full stream makes the writer wait until it has drained', async () => {
    const stream = new Recorder({ slow: true, highWaterMark: 8 });
    const output = new TextOutput(stream);
    expect(output.write('1234')).toBeUndefined();
    let written = false;
    const second = Promise.resolve(output.write('5678')).then(() => {
      written = true;
    });
    await settle();
    expect(written).toBe(false);
    stream.release();
    await settle();
    expect(written).toBe(false);
    stream.release();
    await second;
    expect(stream.text).toBe('12345678');
  });

  test('flush waits for all that was written', async () => {
    const stream = new Recorder({ slow: true });
    const output = new TextOutput(stream);
    void output.write('a');
    void output.write('b');
    let flushed = false;
    const flush = output.flush().then(() => {
      flushed = true;
    });
    stream.release();
    await settle();
    expect(flushed).toBe(false);
    while (stream.release()) await settle();
    await flush;
    expect(stream.text).toBe('ab');
    expect(stream.writableEnded).toBe(false);
  });
});

describe('a reader that has gone is no error', () => {
  test.each(['EPIPE', 'ECONNRESET'])('%s', async (code) => {
    const output = new TextOutput(failing(code));
    await output.write('a');
    await settle();
    expect(output.closed.aborted).toBe(true);
    await output.write('b');
    await output.flush();
  });

  test('a stream destroyed while its writer waits lets the writer go', async () => {
    const stream = new PassThrough({ highWaterMark: 4 });
    const output = new TextOutput(stream);
    const waiting = output.write('too much for it');
    expect(waiting).toBeInstanceOf(Promise);
    stream.destroy();
    await waiting;
    expect(output.closed.aborted).toBe(true);
    expect(output.write('more')).toBeUndefined();
    await output.flush();
  });

  test('a stream that was closed before the first write', async () => {
    const stream = new PassThrough();
    const output = new TextOutput(stream);
    stream.destroy();
    await output.write('a');
    await output.flush();
    await settle();
    expect(output.closed.aborted).toBe(true);
  });
});

describe('any other failure is thrown', () => {
  test('by the flush after the write that failed', async () => {
    const output = new TextOutput(failing('ENOSPC'));
    await output.write('a');
    await expect(output.flush()).rejects.toThrow('ENOSPC');
    expect(output.closed.aborted).toBe(false);
  });

  test('by the next write', async () => {
    const output = new TextOutput(failing('EIO'));
    await output.write('a');
    await settle();
    expect(() => output.write('b')).toThrow('EIO');
  });

  test('by the write that waits', async () => {
    const stream = new Recorder({ slow: true, highWaterMark: 1 });
    const output = new TextOutput(stream);
    const waiting = output.write('a');
    stream.destroy(Object.assign(new Error('EIO: it fails'), { code: 'EIO' }));
    await expect(waiting).rejects.toThrow('EIO');
  });
});
