/** One agent to a folder: two would complete each other's files. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { makeFolder } from '../../driver/make-folder.ts';
import { PtmonError } from '../../core/error.ts';
import { cannotWrite } from '../journal/cannot-write.ts';
import { startOf } from './found-vm.ts';

export class FolderLock {
  readonly #path: string;

  /** @throws PtmonError as `cannotWrite`; `bad-argument` where a running process has the lock */
  constructor(folder: string) {
    this.#path = join(folder, 'agent.lock');
    try {
      makeFolder(folder);
      if (this.#tryLock()) return;
      const [pid = '', start] = readFileSync(this.#path, 'utf8').split(' ');
      if (start !== '' && startOf(Number(pid)) === start) {
        throw new PtmonError('bad-argument', `${folder}: the agent with PID ${pid} uses this folder`);
      }
      // Its owner was killed.
      rmSync(this.#path);
      if (this.#tryLock()) return;
    } catch (error) {
      if (error instanceof PtmonError) throw error;
      throw cannotWrite(folder, error);
    }
    throw new PtmonError('bad-argument', `${folder}: another agent began to use this folder`);
  }

  release(): void {
    rmSync(this.#path, { force: true });
  }

  #tryLock(): boolean {
    try {
      writeFileSync(this.#path, `${process.pid} ${startOf(process.pid)}`, { flag: 'wx' });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    }
  }
}
