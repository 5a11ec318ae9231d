/** Number formats of tensors. `bf16` is the upper half of an IEEE float; `i32` holds ids, offsets and counts. */
export type DType = "f32" | "bf16" | "i32";

/** Formats an upload may come in. `f16` is converted on arrival. */
export type SourceDType = DType | "f16";

/** The native engine's codes, native/core/dtype.h. */
export const dtypeCode: Record<SourceDType, number> = { f32: 0, bf16: 1, i32: 2, f16: 3 };

export const bytesOf: Record<SourceDType, number> = { f32: 4, bf16: 2, i32: 4, f16: 2 };

export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

/** `[2, 3] f32`, as error messages name a tensor. */
export const describe = (shape: readonly number[], dtype: DType): string => `[${shape.join(", ")}] ${dtype}`;
