/** What the colours mean, and how much there is of each in the shown space. */
import { bytesName, KINDS, type Kind, kindOf, leafPages } from '../../picture/look.ts';
import type { Model } from '../model.ts';

const NAMES: Readonly<Record<Kind, string>> = {
  absent: 'absent',
  backed: 'backed, rights not recorded',
  'read-only': 'read-only',
  executable: 'executable',
  writable: 'writable',
  swapped: 'swapped out',
  'writable+executable': 'writable and executable',
};

export function Legend({ model }: { readonly model: Model }) {
  const runs = model.shown?.map.runs ?? [];
  const pages = new Map<Kind, number>();
  let large = 0;
  for (const [, count, look] of runs) {
    pages.set(kindOf(look), (pages.get(kindOf(look)) ?? 0) + count);
    if (leafPages(look) > 1) large += count;
  }
  return (
    <ul class="legend" aria-label="Colours">
      {KINDS.filter((kind) => kind !== 'backed' || pages.has(kind)).map((kind) => (
        <li key={kind} class={kind === 'writable+executable' && pages.has(kind) ? 'alarm' : ''}>
          <span class={`swatch ${kind.replace('+', '-')}`} />
          {NAMES[kind]}
          {kind !== 'absent' && <b>{bytesName((pages.get(kind) ?? 0) * 4096).replace('0B', '0')}</b>}
        </li>
      ))}
      <li>
        <span class="swatch large" />
        large page, darker <b>{bytesName(large * 4096).replace(/^0B$/, '0')}</b>
      </li>
      {model.scene.kind !== 'still' && (
        <li>
          <span class="swatch flash" />
          changing
        </li>
      )}
      {model.base !== undefined && (
        <li>
          <span class="swatch marked" />
          differs
        </li>
      )}
    </ul>
  );
}
