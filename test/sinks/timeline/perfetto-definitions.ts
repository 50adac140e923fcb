/**
 * What Perfetto has published of the messages that ptmon writes: names, numbers and types of their fields, from protos/perfetto/trace in
 * github.com/google/perfetto (trace.proto, trace_packet.proto; track_event/{track_event, track_descriptor, process_descriptor,
 * counter_descriptor, debug_annotation}.proto).
 *
 * With PTMON_PERFETTO_PROTO=…/perfetto_trace.proto, Perfetto's own file is read instead, and this table is compared with it.
 */
import process from 'node:process';
import protobuf from 'protobufjs';

type Field = readonly [name: string, type: string, number: number, rule?: 'repeated'];

const MESSAGES: Readonly<Record<string, readonly Field[]>> = {
  Trace: [['packet', 'TracePacket', 1, 'repeated']],
  TracePacket: [
    ['timestamp', 'uint64', 8],
    ['trusted_packet_sequence_id', 'uint32', 10],
    ['track_event', 'TrackEvent', 11],
    ['sequence_flags', 'uint32', 13],
    ['track_descriptor', 'TrackDescriptor', 60],
  ],
  TrackDescriptor: [
    ['uuid', 'uint64', 1],
    ['name', 'string', 2],
    ['process', 'ProcessDescriptor', 3],
    ['parent_uuid', 'uint64', 5],
    ['counter', 'CounterDescriptor', 8],
  ],
  ProcessDescriptor: [
    ['pid', 'int32', 1],
    ['process_name', 'string', 6],
  ],
  CounterDescriptor: [['unit', 'CounterDescriptor.Unit', 3]],
  TrackEvent: [
    ['debug_annotations', 'DebugAnnotation', 4, 'repeated'],
    ['type', 'TrackEvent.Type', 9],
    ['track_uuid', 'uint64', 11],
    ['categories', 'string', 22, 'repeated'],
    ['name', 'string', 23],
    ['counter_value', 'int64', 30],
  ],
  DebugAnnotation: [
    ['uint_value', 'uint64', 3],
    ['string_value', 'string', 6],
    ['name', 'string', 10],
  ],
};

const ENUMS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  'CounterDescriptor.Unit': { UNIT_UNSPECIFIED: 0, UNIT_TIME_NS: 1, UNIT_COUNT: 2, UNIT_SIZE_BYTES: 3 },
  'TrackEvent.Type': { TYPE_UNSPECIFIED: 0, TYPE_SLICE_BEGIN: 1, TYPE_SLICE_END: 2, TYPE_INSTANT: 3, TYPE_COUNTER: 4 },
};

/** Perfetto's own file, where there is one. */
const PUBLISHED = process.env['PTMON_PERFETTO_PROTO'];

const PACKAGE = 'perfetto.protos';

/** The definitions that output is checked against. */
export function definitions(): protobuf.Root {
  if (PUBLISHED !== undefined) return published(PUBLISHED);
  const root = new protobuf.Root();
  const namespace = root.define(PACKAGE);
  for (const [name, fields] of Object.entries(MESSAGES)) {
    const type = new protobuf.Type(name);
    for (const [field, fieldType, number, rule = 'optional'] of fields) {
      type.add(new protobuf.Field(field, number, fieldType.split('.').at(-1)!, rule));
    }
    namespace.add(type);
  }
  for (const [name, values] of Object.entries(ENUMS)) {
    const [owner, own] = name.split('.') as [string, string];
    root.lookupType(`${PACKAGE}.${owner}`).add(new protobuf.Enum(own, values));
  }
  root.resolveAll();
  return root;
}

/** @throws where it says otherwise than the table */
function published(path: string): protobuf.Root {
  const root = new protobuf.Root().loadSync(path, { keepCase: true });
  for (const [name, fields] of Object.entries(MESSAGES)) {
    for (const [field, fieldType, number, rule] of fields) {
      const { id, repeated, type } = messageType(root, name).fields[field]!.resolve();
      const said = [id, repeated, type.split('.').at(-1)].join(' ');
      const wanted = [number, rule === 'repeated', fieldType.split('.').at(-1)].join(' ');
      if (said !== wanted) throw new Error(`${name}.${field} is ${said}, not ${wanted}`);
    }
  }
  for (const [name, values] of Object.entries(ENUMS)) {
    const own = root.lookupEnum(`${PACKAGE}.${name}`).values;
    for (const [key, value] of Object.entries(values)) {
      if (own[key] !== value) throw new Error(`${name}.${key} is ${own[key]}, not ${value}`);
    }
  }
  return root;
}

export function messageType(root: protobuf.Root, name: string): protobuf.Type {
  return root.lookupType(`${PACKAGE}.${name}`);
}
