import { freemem } from "node:os";
import { cudaMemoryBytes, type Device } from "../core/device.ts";
import type { StudyRun } from "./grid.ts";

/** What the process of a run says of memory, in bytes: the machine's, or on a GPU tensors in its own. */
export interface RunMemory {
  /** Most it has taken so far. */
  peak: number;
  /** As much, had it trained all weights. */
  peakOfFull: number;
  /** What all runs may take together, this one included. */
  total: number;
}

/** As of now. `frozen`: how many numbers of the model don't train. */
export function runMemory(device: Device, frozen: number, dtype: "f32" | "bf16"): RunMemory {
  const onCpu = device.name === "cpu";
  const peak = onCpu ? process.resourceUsage().maxRSS * 1024 : device.stats().peakBytes;
  // A gradient and AdamW's two means, and a bf16 weight's copy, in f32.
  const peakOfFull = peak + frozen * (dtype === "bf16" ? 16 : 12);
  const total = onCpu
    ? freeBytes() + process.memoryUsage.rss()
    : cudaMemoryBytes(Number(device.name.split(":")[1]));
  return { peak, peakOfFull, total };
}

/** A container may have less than its machine. */
const freeBytes = (): number => Math.min(freemem(), process.availableMemory());

/** How many runs fit into memory, by what the first of them take. */
export class MemoryShare {
  private readonly peaks = new Map<string, RunMemory>();

  /** `total`: what all runs may take together; left out, what the first one says. */
  constructor(private total?: number) {}

  /** Is there a run to judge the others by? */
  get isKnown(): boolean {
    return this.peaks.size > 0;
  }

  learn({ method }: StudyRun, memory: RunMemory): void {
    this.total ??= memory.total;
    const before = this.peaks.get(method.label)?.peak ?? 0;
    if (memory.peak > before) this.peaks.set(method.label, memory);
  }

  /** Is there room for a run beside others? Alone it always starts, to fail or not. */
  admits(run: StudyRun, running: readonly StudyRun[]): boolean {
    if (running.length === 0) return true;
    if (this.total === undefined || !this.isKnown) return false;
    return [...running, run].reduce((sum, one) => sum + this.bytesOf(one), 0) <= this.total;
  }

  /** Why a run waits. */
  reason(run: StudyRun): string {
    return `${run.name} takes about ${inMb(this.bytesOf(run))}, all runs together may take ${inMb(this.total!)}`;
  }

  /** Its method's, or else the most that any method took. */
  private bytesOf({ method }: StudyRun): number {
    const own = this.peaks.get(method.label);
    if (own) return own.peak;
    const all = [...this.peaks.values()];
    return Math.max(...all.map((one) => (method.name === "full" ? one.peakOfFull : one.peak)));
  }
}

const inMb = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
