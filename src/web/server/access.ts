/**
 * Who may ask: a client that has the token, from a page of this server. The Host check keeps out pages of other sites that had their name lead
 * here (DNS rebinding); the Origin check keeps out their scripts.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import type { Context, MiddlewareHandler } from 'hono';

/** 128 bits, as text of an address. */
export function makeToken(): string {
  return randomBytes(16).toString('base64url');
}

export interface AccessOptions {
  readonly token: string;
  /** The name that the server was told to listen on. */
  readonly listen: string;
}

/** For every request: refuses other hosts' names and other sites' pages. */
export function checkHost({ listen }: Pick<AccessOptions, 'listen'>): MiddlewareHandler {
  const names = new Set(['localhost', listen, hostname()].map((name) => name.toLowerCase()));
  return async (context, next) => {
    const host = context.req.header('host') ?? '';
    if (!isOwnHost(host, names)) return context.text(`Host "${host}" is not a name of this server.\n`, 421);
    const origin = context.req.header('origin');
    const site = context.req.header('sec-fetch-site');
    const isForeign = (origin !== undefined && origin !== `http://${host}`) || site === 'cross-site';
    if (isForeign) return context.text('Pages of other sites may not ask this server.\n', 403);
    await next();
  };
}

/** An address literal is no name that another site could have lead here. */
function isOwnHost(host: string, names: ReadonlySet<string>): boolean {
  const name = host.replace(/:\d+$/, '').toLowerCase();
  return isIP(name.replace(/^\[(.*)\]$/, '$1')) !== 0 || names.has(name);
}

/** For what shows the guest: asks for the token, in the address or as a bearer. */
export function checkToken({ token }: Pick<AccessOptions, 'token'>): MiddlewareHandler {
  return async (context, next) => {
    if (isSame(tokenOf(context), token)) return next();
    return context.text('Wrong or missing token: open the address that ptmon serve has printed.\n', 401);
  };
}

function tokenOf({ req }: Context): string {
  const bearer = /^Bearer (.+)$/i.exec(req.header('authorization') ?? '')?.[1];
  return bearer ?? req.query('token') ?? '';
}

function isSame(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
