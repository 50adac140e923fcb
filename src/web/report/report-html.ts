/** One file that shows a scene: the page with its script, its style and the compressed scene. It asks nothing of any network. */
import { createHash } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import { PtmonError } from '../../core/error.ts';
import type { Scene } from '../picture/scene.ts';
import { pageHtml, readAssets } from '../server/assets.ts';
import { fitScene } from './fit-scene.ts';

/** So that mail and bug trackers take it. */
export const MAX_REPORT_BYTES = 2_000_000;
/** Of the page around script, style and scene. */
const FRAME_BYTES = 4096;

/** @throws PtmonError `bad-argument` for a scene that does not fit; `source-unavailable` where the page is not built */
export function reportHtml(scene: Scene): string {
  const { script, style } = readAssets();
  // The end of a script is recognized wherever it stands.
  const code = script.replaceAll(/<\/(script)/gi, String.raw`<\/$1`);
  const left = MAX_REPORT_BYTES - Buffer.byteLength(code) - Buffer.byteLength(style) - FRAME_BYTES;
  let packed = '';
  const fitted = fitScene(scene, (candidate) => {
    packed = deflateRawSync(JSON.stringify(candidate)).toString('base64');
    return packed.length <= left;
  });
  if (fitted === undefined) {
    const why = `a report has at most ${MAX_REPORT_BYTES} bytes, and this needs ${packed.length} for the first moment alone`;
    throw new PtmonError('bad-argument', `${scene.source}: ${why}: choose one process with --pid, or use ptmon serve`);
  }
  const hash = createHash('sha256').update(code).digest('base64');
  const policy = `default-src 'none'; script-src 'sha256-${hash}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'`;
  const head = `<meta http-equiv="Content-Security-Policy" content="${policy}">\n<style>${style}</style>`;
  const body = `<script type="application/octet-stream" id="scene">${packed}</script>\n<script>${code}</script>`;
  return pageHtml(`ptmon report: ${fitted.source}`, { head, body });
}
