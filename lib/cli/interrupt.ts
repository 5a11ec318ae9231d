import { note, program } from "./output.ts";

/** A wish to stop, from Ctrl-C or a service manager. */
export interface Interrupt {
  signal: AbortSignal;
  /** No longer listens. */
  end(): void;
}

/**
 * Runs something that a wish to stop ends cleanly, by its signal. Undefined if that came: then `goOn`, the command that goes on
 * with it, has been said, and the exit code is set.
 */
export async function untilInterrupted<T>(
  { remark, goOn }: { remark: string; goOn: string },
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const interrupt = onInterrupt(remark);
  try {
    return await run(interrupt.signal);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    note(`Stopped. Go on: ${program()} ${goOn}`);
    process.exitCode = 130;
    return undefined;
  } finally {
    interrupt.end();
  }
}

/** Listens for the first SIGINT or SIGTERM; after it the system's own answer is back, so that a second one kills at once. */
export function onInterrupt(remark: string): Interrupt {
  const controller = new AbortController();
  const stop = (): void => {
    end();
    process.stderr.write(`\n${remark}\n`);
    controller.abort();
  };
  const end = (): void => {
    for (const name of ["SIGINT", "SIGTERM"]) process.off(name, stop);
  };
  for (const name of ["SIGINT", "SIGTERM"]) process.on(name, stop);
  return { signal: controller.signal, end };
}
