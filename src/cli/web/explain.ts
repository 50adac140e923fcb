/** What `ptmon translate` says of a walk, for the page. */
import type { Explanation } from '../../web/server/app.ts';
import type { ExplainedWalk } from '../../web/scene/scene-source.ts';
import { translationJson } from '../commands/translate/json.ts';
import { translationLines } from '../commands/translate/text.ts';

export function explain({ paging, walk }: ExplainedWalk): Explanation {
  return { lines: translationLines(paging, walk), json: translationJson(paging, walk) };
}
