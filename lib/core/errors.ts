/**
 * Every error mixwright throws on purpose. A message reads
 * `<function>: <what is>, <what was needed> (<operands>). <one way out>`; the same facts stand in fields, for programs.
 */

/** Base class: `catch (e) { if (e instanceof MixwrightError) … }` catches all of ours and nothing else. */
export class MixwrightError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** Two operands whose sizes do not fit. `op` is the function called, `operands` the tensors as `name [shape] dtype`. */
export class ShapeError extends MixwrightError {
  constructor(
    message: string,
    readonly op: string = "",
    readonly operands: readonly string[] = [],
  ) {
    super(message);
  }
}

/** An operand of a number format the function does not take. */
export class DTypeError extends MixwrightError {
  constructor(
    message: string,
    readonly op: string = "",
    readonly operands: readonly string[] = [],
  ) {
    super(message);
  }
}

/** A tensor, model, adapter or device used after it was disposed. `label` names it. */
export class DisposedError extends MixwrightError {
  constructor(
    message: string,
    readonly label: string = "",
  ) {
    super(message);
  }
}

/** The device has no room. `bytes` were asked for while `liveBytes` were in use. */
export class OutOfMemoryError extends MixwrightError {
  constructor(
    message: string,
    readonly bytes: number = 0,
    readonly liveBytes: number = 0,
  ) {
    super(message);
  }
}

/** A device that cannot be used, or a stream that failed: `op`, `path` (module) and `step` say where. */
export class DeviceError extends MixwrightError {
  constructor(
    message: string,
    readonly op: string = "",
    readonly path: string = "",
    readonly step: number = -1,
  ) {
    super(message);
  }
}

/** A file whose content is not what its format promises. `file` is its path; `line` counts from 1, 0 = does not apply. */
export class FormatError extends MixwrightError {
  constructor(
    message: string,
    readonly file: string = "",
    readonly line: number = 0,
  ) {
    super(message);
  }
}

/** A setting that is unknown, out of range or contradicts another. `key` is the setting. */
export class ConfigError extends MixwrightError {
  constructor(
    message: string,
    readonly key: string = "",
  ) {
    super(message);
  }
}

/** A run of a pipeline some of whose tasks failed: which ones, in what step, on what document and file. */
export class PipelineError extends MixwrightError {
  constructor(
    message: string,
    readonly failures: readonly {
      readonly task: number;
      readonly step: string;
      readonly document?: string | undefined;
      readonly file?: string | undefined;
      readonly message: string;
    }[] = [],
  ) {
    super(message);
  }
}
