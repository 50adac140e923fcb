/** How a broker is reached: the part that the policy of an agent and that of an archiver have in common. */
import * as v from 'valibot';

export const text = v.pipe(v.string(), v.minLength(1, 'an empty text'));

/** Files are written with rename(2), link(2) and fsync(2). */
export const folder = v.pipe(
  text,
  v.check((value) => !/^[a-z0-9]+:\/\//i.test(value), 'an address, not a folder: ptmon writes to a file system'),
);

export function integer(min: number, max: number) {
  const why = `not an integer from ${min} to ${max}`;
  return v.pipe(v.number(), v.integer(why), v.minValue(min, why), v.maxValue(max, why));
}

/** The client of NATS takes any scheme for `nats:`, a mistyped `tls:` as well. */
const server = v.pipe(
  text,
  v.regex(/^(?:(?:nats|tls):\/\/)?[^\s/@]+$/i, 'not HOST:PORT, nats://HOST:PORT or tls://HOST:PORT, without a user'),
);

/** Secrets are in files, which only their owner can read. */
export const BROKER = v.strictObject({
  servers: v.pipe(v.array(server), v.minLength(1, 'an empty list')),
  /** Files: credentials as `nsc` writes them, a token, or `user:password`. */
  credentials: v.optional(text),
  token: v.optional(text),
  password: v.optional(text),
  /** Files in PEM: who signs the broker's certificate, and the own certificate and key where the broker wants them. */
  tls: v.optional(v.strictObject({ ca: v.optional(text), cert: v.optional(text), key: v.optional(text) })),
  /** Of JetStream; made where there is none of this name. */
  stream: v.optional(v.pipe(text, v.regex(/^[\w-]{1,100}$/, 'not 1 to 100 letters, digits, "-" or "_"')), 'PTMON'),
  /** Of a stream that is made: at this size it takes no more until the archivers have read. */
  streamMiB: v.optional(integer(1, 2 ** 30), 10_240),
});

export type Broker = v.InferOutput<typeof BROKER>;

/** Paths in a policy are relative to its file. */
export function withAbsolutePaths(broker: Broker, absolute: (name: string) => string): Broker {
  const files = <T extends object>(object: T, keys: readonly (keyof T)[]): T => {
    const paths = keys.flatMap((key) => (object[key] === undefined ? [] : [[key, absolute(String(object[key]))]]));
    return { ...object, ...Object.fromEntries(paths) };
  };
  const tls = broker.tls && files(broker.tls, ['ca', 'cert', 'key']);
  return { ...files(broker, ['credentials', 'token', 'password']), ...(tls && { tls }) };
}
