import type { StudyRun } from "./grid.ts";
import { type Job, type JobEnd, startJob } from "./job.ts";
import { MemoryShare } from "./run_memory.ts";
import type { StudySettings } from "./settings.ts";

interface Ended {
  job: Job;
  end: JobEnd;
}

/** The jobs that are running: at most `parallel` at a time, and no more than memory has room for. */
export class Jobs {
  private readonly running = new Map<Job, Promise<Ended>>();
  private readonly parallel: number;
  private readonly memory: MemoryShare;
  /** Called when a job has said what it takes. */
  private wake = (): void => undefined;

  constructor(
    private readonly out: string,
    { parallel, memoryBytes }: Pick<StudySettings, "parallel" | "memoryBytes">,
    private readonly note: (line: string) => void,
  ) {
    this.parallel = parallel;
    this.memory = new MemoryShare(memoryBytes);
  }

  start(name: string, run?: StudyRun): Promise<Ended> {
    const job = startJob(this.out, name, (memory) => {
      if (run) this.memory.learn(run, memory);
      this.wake();
    });
    const ended = job.end.then((end) => {
      this.running.delete(job);
      return { job, end };
    });
    this.running.set(job, ended);
    return ended;
  }

  /** Runs all, and yields each as it ends. After the signal none is started any more. */
  async *run(
    runs: readonly StudyRun[],
    signal: AbortSignal | undefined,
  ): AsyncGenerator<{ job: StudyRun; end: JobEnd }, void, void> {
    const waiting = new Map<StudyRun, Promise<{ run: StudyRun; end: JobEnd }>>();
    const queue = [...runs];
    let noted = false;
    while (true) {
      // Memory is learned of in between, so that the promise comes first.
      const woken = new Promise<undefined>((resolve) => {
        this.wake = () => resolve(undefined);
      });
      while (waiting.size < this.parallel && queue.length > 0 && !signal?.aborted) {
        const [run] = queue as [StudyRun];
        if (!this.memory.admits(run, [...waiting.keys()])) {
          if (this.memory.isKnown && !noted) {
            this.note(
              `study: ${waiting.size} at a time instead of ${this.parallel}: ${this.memory.reason(run)}`,
            );
            noted = true;
          }
          break;
        }
        queue.shift();
        waiting.set(
          run,
          this.start(run.name, run).then(({ end }) => ({ run, end })),
        );
      }
      if (waiting.size === 0) return;
      const ended = await Promise.race([...waiting.values(), woken]);
      if (ended === undefined) continue;
      waiting.delete(ended.run);
      yield { job: ended.run, end: ended.end };
    }
  }

  stop(): void {
    for (const job of this.running.keys()) job.stop();
  }

  /** Ends what is still running, if anything is. */
  async end(): Promise<void> {
    for (const job of this.running.keys()) job.kill();
    await Promise.all(this.running.values());
  }
}
