import { PtmonError } from '../../../core/error.ts';

/** What is wrong with some bytes; where they are is for those to add who know. */
export function corrupt(what: string): PtmonError {
  return new PtmonError('corrupt-input', what);
}

/** Adds the file and the place in it to what is wrong there. */
export function located(error: PtmonError, file: string, offset: number): PtmonError {
  if (error.facts.offset !== undefined) return error;
  const where = `${file}: at byte ${offset} (0x${offset.toString(16)})`;
  return new PtmonError('corrupt-input', `${where}: ${error.message}`, { ...error.facts, offset }, { cause: error });
}

/**
 * Does what a place in a file asks for: whatever that makes go wrong is wrong with the file. What is no PtmonError is a fault of ours, and
 * of these, that a file cannot be read is no fault of what is in it.
 */
export function locate<T>(file: string, offset: number, work: () => T): T {
  const fail = (error: unknown): never => {
    const isOfFile = error instanceof PtmonError && error.code !== 'source-unavailable' && error.code !== 'closed';
    throw isOfFile ? located(error, file, offset) : error;
  };
  try {
    const done = work();
    return done instanceof Promise ? (done.catch(fail) as T) : done;
  } catch (error) {
    return fail(error);
  }
}
