import type { Tensor } from "../core/tensor.ts";
import type { RotaryTable } from "../ops/rotary.ts";

/** Keys and values of earlier tokens: each [rows, kvHeads·hd], one pair a layer. */
export interface LayerCache {
  k: Tensor;
  v: Tensor;
}

/** Where new keys go and where attention finds all of them. */
export interface CacheAccess {
  layers: readonly LayerCache[];
  /** [T] i32: the cache row of each new token. */
  rows: Tensor;
  /** [B] i32: the first cache row of each sequence. */
  starts: Tensor;
  /** [B] i32: keys of each sequence, the new ones included. */
  lengths: Tensor;
}

/** What all layers of one forward pass share. */
export interface Context {
  /** [B+1] i32: document b's tokens are rows offsets[b] … offsets[b+1]-1. */
  offsets: Tensor;
  rotary: RotaryTable;
  cache?: CacheAccess | undefined;
}
