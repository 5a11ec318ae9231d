import { MultiBar, Presets, type SingleBar } from "cli-progress";
import type { FinewebProgress, RunProgress } from "../index.ts";
import { printJson } from "./output.ts";

/** Shows the tasks of a pipeline while they run. */
export interface TaskDisplay {
  show(progress: RunProgress): void;
  end(): void;
}

/** Seconds between two lines of one task in a log. */
const kQuiet = 10;

/** JSON lines for programs (a task's end, and now and then one under way), bars on a terminal, lines in a log. */
export function showTasks(json: boolean): TaskDisplay {
  if (!json && process.stdout.isTTY && process.stderr.isTTY) return bars();
  const next = new Map<number, number>();
  return {
    show: (progress) => {
      const now = performance.now() / 1000;
      const due = next.get(progress.task) ?? now + kQuiet;
      next.set(progress.task, due);
      if (progress.state === "running" && now < due) return;
      next.set(progress.task, now + kQuiet);
      if (json) printJson(progress);
      else
        process.stdout.write(
          `task ${progress.task} ${progress.state} · ${rates(progress)} · ${through(progress)}\n`,
        );
    },
    end: () => undefined,
  };
}

/** Shows the phases of a run one after another: the tasks of each as showTasks does, and how far a deduplication is. */
export function showPhases(json: boolean): { show(progress: FinewebProgress): void; end(): void } {
  let phase: string | undefined;
  let tasks: TaskDisplay | undefined;
  const end = (): void => {
    tasks?.end();
    tasks = undefined;
  };
  return {
    show: (progress) => {
      if (progress.phase !== phase) {
        end();
        phase = progress.phase;
        if (!json) process.stdout.write(`${phase}\n`);
      }
      if (progress.phase !== "dedup") {
        tasks ??= showTasks(json);
        tasks.show(progress);
      } else if (json) printJson(progress);
      else if (progress.done === progress.tasks)
        process.stdout.write(`dedup ${progress.stage} · ${progress.tasks} tasks through\n`);
    },
    end,
  };
}

function rates({ read, kept, bytes, seconds }: RunProgress): string {
  const perSecond = (n: number) => (seconds > 0 ? n / seconds : 0);
  const share = read === 0 ? 100 : (100 * kept) / read;
  return `${read} documents · ${Math.round(perSecond(read))}/s · ${perSecond(bytes / 1e6).toFixed(1)} MB/s · ${share.toFixed(1)} % kept`;
}

const through = ({ done, tasks }: RunProgress): string => `${done} of ${tasks} tasks through`;

/** One bar for all tasks, and a line below it for each that runs. */
function bars(): TaskDisplay {
  const all = new MultiBar(
    { hideCursor: true, clearOnComplete: false, format: "{text}" },
    Presets.shades_classic,
  );
  const running = new Map<number, SingleBar>();
  let total: SingleBar | undefined;
  let ended = false;
  return {
    show: (progress) => {
      const { task, done, tasks, state } = progress;
      total ??= all.create(tasks, 0, {}, { format: "{bar} {value}/{total} tasks" });
      total.update(done);
      const text = `task ${task} · ${rates(progress)}`;
      const line = running.get(task);
      if (state === "running") {
        if (line) line.update(0, { text });
        else running.set(task, all.create(1, 0, { text }));
        return;
      }
      if (state === "failed") all.log(`task ${task} failed\n`);
      if (line) all.remove(line);
      running.delete(task);
    },
    end: () => {
      if (!ended) all.stop();
      ended = true;
    },
  };
}
