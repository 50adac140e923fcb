/** Begins the page: with the scene that the file contains, or with the server's. */
import { render } from 'preact';
import type { Scene } from '../picture/scene.ts';
import { App } from './app.tsx';
import { drawn } from './draw/painter.ts';
import { embeddedScene } from './embedded.ts';
import { Model } from './model.ts';
import { failureText, server } from './server.ts';

const root = document.querySelector('#app')!;

async function begin(): Promise<void> {
  const embedded = await embeddedScene();
  const scene = embedded ?? (await server.scene());
  const model = new Model(scene, embedded !== undefined);
  root.replaceChildren();
  render(<App model={model} />, root);
  if (embedded === undefined && scene.kind === 'live') follow(model);
  // For measurements and tests.
  Object.assign(window, { ptmon: { model, drawn } });
}

function follow(model: Model): void {
  server.stream({
    onScene: (scene: Scene) => model.restart(scene),
    onStep: (step) => model.append(step),
    onProcesses: (rows) => model.set('processes', rows),
    onEnd: (why) => model.set('ended', why),
    onLost: (isLost) => model.set('isLost', isLost),
  });
}

begin().catch((error: unknown) => {
  const message = document.createElement('p');
  message.className = 'failure';
  message.setAttribute('role', 'alert');
  message.textContent = failureText(error);
  root.replaceChildren(message);
});
