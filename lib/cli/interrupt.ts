/** A wish to stop, from Ctrl-C or a service manager. */
export interface Interrupt {
  signal: AbortSignal;
  /** No longer listens. */
  end(): void;
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
