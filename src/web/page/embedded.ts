/** The scene that a report contains: compressed JSON, in an element that no browser takes for anything else. */
import type { Scene } from '../picture/scene.ts';

/** Undefined where the page comes from a server. @throws where the browser cannot decompress it */
export async function embeddedScene(): Promise<Scene | undefined> {
  const element = document.querySelector('#scene');
  if (element === null) return undefined;
  const bytes = Uint8Array.from(atob((element.textContent ?? '').trim()), (character) => character.charCodeAt(0));
  const text = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return (await new Response(text).json()) as Scene;
}
