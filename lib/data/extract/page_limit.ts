/** Thrown for a page that is given up; `reason` is the name under which it is counted. */
export class PageLimit extends Error {
  constructor(readonly reason: "timeout" | "too_many_nodes" | "too_deep") {
    super(reason);
  }
}

/**
 * How long a page may take. The parser and every walk over the tree look at it every few thousand steps, so that a page is
 * cut off within the thread it is read in: nothing has to be killed, and no page is sent to another thread and back.
 */
export class Deadline {
  private readonly end: number;

  constructor(ms: number) {
    this.end = performance.now() + ms;
  }

  /** @throws PageLimit "timeout" */
  check(): void {
    if (performance.now() > this.end) throw new PageLimit("timeout");
  }
}
