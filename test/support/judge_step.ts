import { type Filter, filterStep } from "../../lib/data/step.ts";

interface Options {
  throwAt?: string;
  hogAt?: string;
  exitAt?: string;
}

/** A step for step.module: drops texts by their length, and at some documents fails in the way that is asked for. */
export default function judgeStep({ throwAt, hogAt, exitAt }: Options): Filter {
  return filterStep("judge", { throwAt, hogAt, exitAt }, ({ id, text }) => {
    if (id === throwAt) throw new Error("no judgement");
    if (id === exitAt) process.exit(7);
    if (id === hogAt) {
      const hoard: unknown[] = [];
      for (;;) hoard.push({ text: `${text} ${hoard.length}`, more: Array(100).fill(hoard.length) });
    }
    if (text.length % 3 === 0) return { keep: false, reason: "thirds" };
    if (text.length % 7 === 0) return { keep: false, reason: "7/7, or so" };
    return text.length % 2 === 0 ? { keep: true, metadata: { even: true } } : { keep: true };
  });
}

export const judgeFile = import.meta.filename;
