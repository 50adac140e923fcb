/**
 * Perfetto's own format: a `Trace` message of `TracePacket`s, each with a `TrackDescriptor` or a `TrackEvent`. Message and field numbers
 * are those of protos/perfetto/trace in github.com/google/perfetto.
 */
import { PbfWriter } from 'pbf';
import type { TimelineFacts, TimelineWriter } from './timeline-writer.ts';

const TRACE = { packet: 1 } as const;
const PACKET = { timestamp: 8, sequenceId: 10, trackEvent: 11, sequenceFlags: 13, trackDescriptor: 60 } as const;
const DESCRIPTOR = { uuid: 1, name: 2, process: 3, parentUuid: 5, counter: 8 } as const;
const PROCESS = { pid: 1, processName: 6 } as const;
const COUNTER = { unit: 3 } as const;
const EVENT = { annotations: 4, type: 9, trackUuid: 11, categories: 22, name: 23, counterValue: 30 } as const;
const ANNOTATION = { uintValue: 3, stringValue: 6, name: 10 } as const;

const TYPE = { sliceBegin: 1, sliceEnd: 2, instant: 3, counter: 4 } as const;
const UNIT_COUNT = 2;
const INCREMENTAL_STATE_CLEARED = 1;
/** One writer writes all packets. */
const SEQUENCE = 1;
const NS_PER_US = 1000;

type Fill = (pbf: PbfWriter) => void;

/** Groups, tracks and counters share their numbers in Perfetto. */
const uuidOf = {
  group: (id: number) => 3 * id,
  track: (id: number) => 3 * id + 1,
  counter: (id: number) => 3 * id + 2,
};

export class PerfettoWriter implements TimelineWriter {
  #pbf = new PbfWriter();
  #isFirst = true;

  group(id: number, name: string, pid: number | undefined): void {
    this.#describe(uuidOf.group(id), name, (pbf) => {
      if (pid === undefined) return;
      message(pbf, DESCRIPTOR.process, () => {
        pbf.writeVarintField(PROCESS.pid, pid);
        pbf.writeStringField(PROCESS.processName, name);
      });
    });
  }

  track(id: number, group: number, name: string): void {
    this.#describe(uuidOf.track(id), name, (pbf) => pbf.writeVarintField(DESCRIPTOR.parentUuid, uuidOf.group(group)));
  }

  counter(id: number, name: string): void {
    this.#describe(uuidOf.counter(id), name, (pbf) =>
      message(pbf, DESCRIPTOR.counter, () => pbf.writeVarintField(COUNTER.unit, UNIT_COUNT)),
    );
  }

  begin(track: number, timeUs: number, name: string, facts: TimelineFacts): void {
    this.#event(TYPE.sliceBegin, uuidOf.track(track), timeUs, (pbf) => writeName(pbf, name, facts));
  }

  end(track: number, timeUs: number): void {
    this.#event(TYPE.sliceEnd, uuidOf.track(track), timeUs);
  }

  instant(track: number, timeUs: number, name: string, facts: TimelineFacts): void {
    this.#event(TYPE.instant, uuidOf.track(track), timeUs, (pbf) => writeName(pbf, name, facts));
  }

  count(counter: number, timeUs: number, value: number): void {
    this.#event(TYPE.counter, uuidOf.counter(counter), timeUs, (pbf) =>
      pbf.writeVarintField(EVENT.counterValue, value),
    );
  }

  finish(): void {
    // The format has no end mark.
  }

  take(): Uint8Array {
    const bytes = this.#pbf.finish();
    this.#pbf = new PbfWriter();
    return bytes;
  }

  #describe(uuid: number, name: string, more: Fill): void {
    this.#packet(0, PACKET.trackDescriptor, (pbf) => {
      pbf.writeVarintField(DESCRIPTOR.uuid, uuid);
      pbf.writeStringField(DESCRIPTOR.name, name);
      more(pbf);
    });
  }

  #event(type: number, uuid: number, timeUs: number, more?: Fill): void {
    this.#packet(timeUs, PACKET.trackEvent, (pbf) => {
      pbf.writeVarintField(EVENT.type, type);
      pbf.writeVarintField(EVENT.trackUuid, uuid);
      more?.(pbf);
    });
  }

  #packet(timeUs: number, data: number, fill: Fill): void {
    message(this.#pbf, TRACE.packet, (pbf) => {
      pbf.writeVarintField(PACKET.timestamp, timeUs * NS_PER_US);
      pbf.writeVarintField(PACKET.sequenceId, SEQUENCE);
      if (this.#isFirst) pbf.writeVarintField(PACKET.sequenceFlags, INCREMENTAL_STATE_CLEARED);
      message(pbf, data, fill);
    });
    this.#isFirst = false;
  }
}

function writeName(pbf: PbfWriter, name: string, facts: TimelineFacts): void {
  pbf.writeStringField(EVENT.categories, 'ptmon');
  pbf.writeStringField(EVENT.name, name);
  for (const [key, value] of Object.entries(facts)) {
    message(pbf, EVENT.annotations, () => {
      pbf.writeStringField(ANNOTATION.name, key);
      if (typeof value === 'number') pbf.writeVarintField(ANNOTATION.uintValue, value);
      else pbf.writeStringField(ANNOTATION.stringValue, value);
    });
  }
}

function message(pbf: PbfWriter, field: number, fill: Fill): void {
  pbf.writeMessage(field, fill, pbf);
}
