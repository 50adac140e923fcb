import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { frameCommand, framePacket, PROBE } from '../../../../src/drivers/qemu/gdb/packet/packet-encoder.ts';
import { type LinkEvent, MAX_ATTEMPTS, PacketLink } from '../../../../src/drivers/qemu/gdb/packet/packet-link.ts';

/** A link with what it was told and what it says, as characters. */
class Conversation {
  readonly link = new PacketLink();

  /** Sends commands; what the peer sees. */
  say(...payloads: readonly string[]): string {
    for (const payload of payloads)
      this.link.send({ payload, expects: payload.startsWith('vCont') ? 'stop' : 'reply' });
    return this.output();
  }

  hear(characters: string): LinkEvent[] {
    return this.link.receive(Buffer.from(characters, 'latin1'));
  }

  output(): string {
    return Buffer.from(this.link.takeOutput() ?? []).toString('latin1');
  }
}

const reply = (payload: string): LinkEvent => ({ kind: 'reply', payload });
const OK = framePacket('OK');
const BAD = '$OK#00';

describe('one command and its reply', () => {
  test('is acknowledged by both', () => {
    const talk = new Conversation();
    expect(talk.say('g')).toBe('\x03+\x03$g#67');
    expect([talk.hear('+'), talk.link.hasArrived, talk.output()]).toEqual([[], true, '']);
    expect(talk.hear(framePacket('00'))).toEqual([reply('00')]);
    expect(talk.output()).toBe('+');
    expect(talk.link.commandsUnderWay).toBe(0);
  });

  test('is repeated as often as the peer asks, within bounds', () => {
    const talk = new Conversation();
    talk.say('g');
    for (let attempt = 1; attempt < MAX_ATTEMPTS; attempt++) {
      expect(talk.hear('-')).toEqual([]);
      expect(talk.output()).toBe(frameCommand('g'));
    }
    expect(talk.hear('-')).toEqual([{ kind: 'failed', reason: 'it says that the command arrived damaged, 4 times' }]);
    expect([talk.output(), talk.link.commandsUnderWay, talk.link.isInStep]).toEqual(['', 0, true]);
  });

  test('is asked for again when its reply is damaged, within bounds', () => {
    const talk = new Conversation();
    talk.say('g');
    talk.hear('+');
    for (let attempt = 1; attempt < MAX_ATTEMPTS; attempt++) {
      expect(talk.hear(BAD)).toEqual([]);
      expect(talk.output()).toBe('-');
    }
    expect(talk.hear(BAD)).toEqual([{ kind: 'failed', reason: 'its reply arrived damaged, 4 times: wrong checksum' }]);
    // Acknowledged, so that the peer stops.
    expect(talk.output()).toBe('+');
    talk.say('g');
    expect(talk.hear(`+${OK}`)).toEqual([reply('OK')]);
  });

  test('comes right after a damaged command and a damaged reply; the next has all its attempts', () => {
    const talk = new Conversation();
    for (let round = 0; round < 5; round++) {
      talk.say('g');
      expect(talk.hear(`--+${BAD}${BAD}${BAD}${OK}`)).toEqual([reply('OK')]);
      talk.output();
    }
  });

  test('a packet cut short is followed by the reply', () => {
    const talk = new Conversation();
    talk.say('g');
    expect(talk.hear(`+$O${OK}`)).toEqual([reply('OK')]);
  });

  test('what comes before the acknowledgement is older than the command', () => {
    const talk = new Conversation();
    talk.say('m0,1');
    expect(talk.hear(`${framePacket('stale')}+${framePacket('aa')}`)).toEqual([reply('aa')]);
  });

  test('what comes unasked is passed over, but acknowledged', () => {
    const talk = new Conversation();
    expect(talk.hear(`${OK}+-+${framePacket('E01')}`)).toEqual([]);
    expect(talk.output()).toBe('++');
    talk.say('g');
    expect(talk.hear(`+${OK}`)).toEqual([reply('OK')]);
  });

  test('what the target prints is no reply', () => {
    const talk = new Conversation();
    talk.say('g');
    expect(talk.hear(`+${framePacket('O686900')}${OK}`)).toEqual([reply('OK')]);
  });
});

describe('several commands', () => {
  test('get their replies in order, however the peer mixes acknowledgements and replies', () => {
    const talk = new Conversation();
    expect(talk.say('a', 'b', 'c')).toBe(['a', 'b', 'c'].map(frameCommand).join(''));
    expect(talk.hear(`++${framePacket('1')}+${framePacket('2')}${framePacket('3')}`)).toEqual(
      ['1', '2', '3'].map(reply),
    );
    // The third command is an acknowledgement of the first reply.
    expect(talk.output()).toBe('++');
  });

  const LOST: readonly (readonly [how: string, characters: string, reason: string])[] = [
    ['a command arrived damaged', `+${OK}-`, 'a command arrived damaged'],
    ['a reply arrived damaged', `+${BAD}`, 'a packet arrived damaged: wrong checksum'],
    ['a reply has no end', `+$O${OK}`, 'a packet without an end'],
    [
      'the target turns out to have been running',
      framePacket('T02thread:01;'),
      'the target stopped in the middle of commands',
    ],
  ];

  test.each(LOST)('are given up where %s: later replies would be mistaken', (_, characters, reason) => {
    const talk = new Conversation();
    talk.say('a', 'b', 'c');
    expect(talk.hear(`${characters}+${OK}+${OK}`)).toContainEqual({ kind: 'out-of-step', reason });
    expect([talk.link.isInStep, talk.link.commandsUnderWay]).toEqual([false, 0]);
  });
});

describe('a fence', () => {
  test('ends being out of step: all before its reply is passed over', () => {
    const talk = new Conversation();
    talk.say('a');
    talk.link.giveUp();
    talk.link.fence();
    expect(talk.output()).toBe(PROBE + frameCommand('qC'));
    expect(talk.hear(`+${framePacket('late')}${BAD}+${framePacket('1')}+`)).toEqual([]);
    expect(talk.link.isInStep).toBe(false);
    expect(talk.hear(framePacket('QCp01.01'))).toEqual([{ kind: 'in-step', hasHalted: false }]);
    talk.output();
    expect(talk.say('b')).toBe(frameCommand('b'));
    expect(talk.hear(`+${OK}`)).toEqual([reply('OK')]);
  });

  test('is repeated when it arrived damaged, within bounds', () => {
    const talk = new Conversation();
    talk.link.giveUp();
    talk.link.fence();
    talk.output();
    talk.hear(`+${framePacket('1')}${'-'.repeat(100)}`);
    expect(talk.output()).toBe(frameCommand('qC').repeat(MAX_ATTEMPTS - 1));
  });
});

describe('a command that lets the target run', () => {
  test('has arrived, then stops', () => {
    const talk = new Conversation();
    talk.say('vCont;c');
    expect(talk.hear('+')).toEqual([{ kind: 'arrived' }]);
    expect(talk.hear(framePacket('T05thread:p01.01;watch:ff;'))).toEqual([reply('T05thread:p01.01;watch:ff;')]);
  });

  test.each(['E01', '', 'OK'])('takes any reply: "%s"', (payload) => {
    const talk = new Conversation();
    talk.say('vCont;c');
    expect(talk.hear(`+${framePacket(payload)}`)).toEqual([{ kind: 'arrived' }, reply(payload)]);
  });

  test('is interrupted by a fence, and does not run if it arrived damaged', () => {
    const talk = new Conversation();
    talk.say('vCont;c');
    talk.link.fence();
    expect(talk.output()).toBe(PROBE + frameCommand('qC'));
    expect(talk.hear(`-+${framePacket('1')}+`)).toEqual([]);
    expect(talk.output()).toBe('');
    expect(talk.hear(framePacket('QCp01.01'))).toEqual([reply('S02'), { kind: 'in-step', hasHalted: false }]);
    expect([talk.link.isInStep, talk.link.commandsUnderWay]).toEqual([true, 0]);
  });

  test.each([
    ['which had stopped before', ['+', framePacket('1')], false],
    ['which the interrupt has stopped', [], true],
  ])('is interrupted, and a fence tells of a target %s', (_, answer, hasHalted) => {
    const talk = new Conversation();
    talk.say('vCont;c');
    talk.hear('+');
    talk.link.fence();
    const stop = 'T02thread:p01.01;';
    expect(talk.hear(`${framePacket(stop)}${answer.join('')}`)).toEqual([reply(stop)]);
    expect(talk.output()).toBe(PROBE + frameCommand('qC'));
    expect(talk.hear(`+${framePacket('QCp01.01')}`)).toEqual([{ kind: 'in-step', hasHalted }]);
    expect(talk.output()).toBe('+');
  });

  test('has stopped when the fence comes back, though the peer says nothing of it', () => {
    const talk = new Conversation();
    talk.say('vCont;c');
    talk.hear('+');
    talk.link.fence();
    talk.output();
    expect(talk.hear(`+${framePacket('QCp01.01')}`)).toEqual([reply('S02'), { kind: 'in-step', hasHalted: true }]);
  });

  test('has stopped when the fence comes back, though what the peer says of it is damaged', () => {
    const talk = new Conversation();
    talk.say('vCont;c');
    talk.hear('+');
    talk.link.fence();
    talk.output();
    expect(talk.hear(`${BAD}+${framePacket('QCp01.01')}`)).toEqual([
      reply('S02'),
      { kind: 'in-step', hasHalted: true },
    ]);
  });

  test('a stop reply that is damaged is asked for again', () => {
    const talk = new Conversation();
    talk.say('vCont;c');
    talk.hear(`+${BAD}`);
    expect(talk.output()).toBe('-');
    expect(talk.hear(framePacket('S05'))).toEqual([reply('S05')]);
  });
});

describe('stops and notifications that nobody asked for', () => {
  test.each(['T02thread:p01.01;', 'S05', 'W00', 'X09'])('%s while a command waits for its reply', (payload) => {
    const talk = new Conversation();
    talk.say('g');
    expect(talk.hear(`${framePacket(payload)}+${framePacket(payload)}${OK}`)).toEqual([
      { kind: 'stop', payload },
      { kind: 'stop', payload },
      reply('OK'),
    ]);
  });

  test('are acknowledged by a command that is on its way: what comes behind it would stop a target that it lets run', () => {
    const talk = new Conversation();
    talk.say('vCont;c');
    const payload = 'T02thread:p01.01;';
    expect(talk.hear(framePacket(payload))).toEqual([{ kind: 'stop', payload }]);
    expect([talk.hear('+'), talk.output()]).toEqual([[{ kind: 'arrived' }], '']);
    expect(talk.hear(framePacket(payload))).toEqual([reply(payload)]);
    // The next command acknowledges it.
    expect(talk.output()).toBe('');
    talk.link.fence();
    talk.output();
    talk.hear(framePacket(payload));
    expect(talk.output()).toBe('');
    talk.hear(`+${framePacket('QCp01.01')}`);
    expect(talk.output()).toBe('+');
  });

  test('are not refused before a command has arrived: the refusal would stop a target that it lets run', () => {
    const talk = new Conversation();
    talk.say('vCont;c');
    expect(talk.hear(BAD)).toEqual([]);
    expect(talk.output()).toBe('');
  });

  test('are not acknowledged when they are notifications', () => {
    const talk = new Conversation();
    expect(talk.hear(`%${framePacket('Stop:T05').slice(1)}`)).toEqual([{ kind: 'notification', payload: 'Stop:T05' }]);
    expect(talk.output()).toBe('');
  });
});

describe('no peer can break it', () => {
  const characters = fc.array(
    fc.constantFrom('+', '-', OK, BAD, '$', '#', '$T05', framePacket('T05'), framePacket('QC1'), 'x', '%'),
    {
      maxLength: 60,
    },
  );

  test('whatever comes: nothing throws, what is sent is bounded by what came, and a fence that comes back ends it', () => {
    fc.assert(
      fc.property(characters, fc.nat(5), fc.boolean(), (parts, commands, fenced) => {
        const talk = new Conversation();
        talk.say(...Array.from({ length: commands }, () => 'g'));
        if (fenced) {
          talk.link.giveUp();
          talk.link.fence();
          talk.output();
        }
        const events = talk.hear(parts.join(''));
        expect(events.filter(({ kind }) => kind === 'reply').length).toBeLessThanOrEqual(commands);
        expect(talk.output().length).toBeLessThanOrEqual(
          parts.length + (MAX_ATTEMPTS + commands) * frameCommand('qC').length,
        );
        talk.link.giveUp();
        talk.link.fence();
        // The first `$` ends whatever packet the garbage has begun.
        talk.hear(`$#00${framePacket('QC1')}`);
        expect(talk.link.isInStep).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
