/** A row that isn't used; `line` counts from 1. */
export interface Dropped {
  readonly line: number;
  readonly reason: string;
}
