/** The server's routes: the page, what it asks, and what other programs read (docs/web.md). */
import type { Context, Hono } from 'hono';
import { Hono as TinyHono } from 'hono/tiny';
import { stream, streamSSE } from 'hono/streaming';
import { PtmonError } from '../../core/error.ts';
import { PROMETHEUS_TYPE } from '../../sinks/prometheus.ts';
import type { ExplainedWalk, SceneSource } from '../scene/scene-source.ts';
import { type AccessOptions, checkHost, checkToken } from './access.ts';
import { pageHtml, readAssets } from './assets.ts';
import { streamSteps } from './event-stream.ts';
import { metricsText } from './metrics.ts';

/** A walk as `ptmon translate` says it: lines of text, and a line of JSON. */
export interface Explanation {
  readonly lines: readonly string[];
  readonly json: string;
}

export interface AppOptions extends AccessOptions {
  readonly source: SceneSource;
  readonly explain: (walk: ExplainedWalk) => Explanation;
  /** Ends streams. */
  readonly signal: AbortSignal;
}

/** Nothing from elsewhere, and no script but the page's own: a guest's name cannot become one. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src data:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export function makeApp(options: AppOptions): Hono {
  const { source, explain, signal } = options;
  const assets = readAssets();
  const app = new TinyHono();
  app.use(checkHost(options));
  app.use(async (context, next) => {
    await next();
    context.header('X-Content-Type-Options', 'nosniff');
    context.header('Referrer-Policy', 'no-referrer');
    context.header('Cache-Control', 'no-store');
  });
  app.onError(answerError);
  app.notFound((context) => context.text(`there is no ${context.req.path} here\n`, 404));
  app.get('/healthz', (context) => {
    const { up } = source.counts();
    return context.json({ status: up ? 'ok' : 'ended' }, up ? 200 : 503);
  });
  // The page's own files say nothing of the guest.
  app.get('/app.js', (context) =>
    context.body(assets.script, 200, { 'Content-Type': 'text/javascript; charset=utf-8' }),
  );
  app.get('/app.css', (context) => context.body(assets.style, 200, { 'Content-Type': 'text/css; charset=utf-8' }));

  app.use(checkToken(options));
  app.get('/', (context) => {
    const head = '<link rel="stylesheet" href="/app.css">\n<script type="module" src="/app.js"></script>';
    context.header('Content-Security-Policy', PAGE_POLICY);
    return context.html(pageHtml(`ptmon ${source.scene().source}`, { head, body: '' }));
  });
  app.get('/api/scene', (context) => context.json(source.scene()));
  app.get('/api/frames', (context) => context.json(source.frames()));
  app.get('/api/walk', async (context) => {
    const walk = await source.walk(walkRequest(context));
    const { lines, json } = explain(walk);
    return context.json({ lines, translation: JSON.parse(json), sharers: walk.sharers });
  });
  app.post('/api/follow', async (context) => {
    const pid = Number(context.req.query('pid'));
    if (source.live === undefined)
      throw new PtmonError('bad-argument', 'only processes of a live guest can be followed');
    if (!Number.isInteger(pid)) throw new PtmonError('bad-argument', `pid ${context.req.query('pid')}: not a number`);
    await source.live.follow(pid);
    return context.json({ followed: pid });
  });
  app.get('/api/stream', (context) => {
    const { live } = source;
    if (live === undefined) throw new PtmonError('bad-argument', 'a file has no stream: read /api/scene');
    return streamSSE(context, (events) => streamSteps(source, live, events));
  });
  app.get('/events', (context) => {
    context.header('Content-Type', 'application/x-ndjson; charset=utf-8');
    return stream(context, async (out) => {
      const gone = new AbortController();
      out.onAbort(() => gone.abort());
      const lines = source.lines(AbortSignal.any([signal, gone.signal]));
      if (lines === undefined) return;
      for await (const text of lines) await out.write(text);
    });
  });
  app.get('/metrics', (context) => context.body(metricsText(source), 200, { 'Content-Type': PROMETHEUS_TYPE }));
  return app;
}

function walkRequest({ req }: Context) {
  const number = (name: string, fallback?: string): bigint => {
    const text = req.query(name) ?? fallback;
    if (text !== undefined && /^0x[0-9a-f]{1,16}$/i.test(text)) return BigInt(text);
    throw new PtmonError('bad-argument', `${name} ${text}: give a hexadecimal number, as 0x7f0012345000`);
  };
  const at = req.query('at');
  const atMs = Number(at);
  if (at !== undefined && !(atMs >= 0)) throw new PtmonError('bad-argument', `at ${at}: give milliseconds`);
  return { root: Number(number('root')), va: number('va'), ...(at !== undefined && { atMs }) };
}

/** What the caller can act on as it is; a fault of ptmon itself without its stack. */
function answerError(error: Error, context: Context): Response {
  if (!(error instanceof PtmonError)) return context.json({ error: { code: 'internal', message: error.message } }, 500);
  const { code, message } = error;
  return context.json({ error: { code, message } }, code === 'bad-argument' ? 400 : 503);
}
