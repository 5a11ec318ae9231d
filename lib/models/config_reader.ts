import { ConfigError } from "../core/errors.ts";

/** Takes typed fields out of a config object: the value there, else the default; both checked. */
export class ConfigReader {
  constructor(
    /** Beginning of every message: the function and the file. */
    readonly where: string,
    private readonly given: Readonly<Record<string, unknown>>,
    private readonly defaults: Readonly<Record<string, unknown>>,
  ) {}

  /** The value of `key`; null where the family has no such field, or config.json says null (which is not the default). */
  value(key: string): unknown {
    if (!(key in this.defaults)) return null;
    const source = this.given[key] === undefined ? this.defaults : this.given;
    return source[key] ?? null;
  }

  /** A whole number from `least`. */
  size(key: string, least = 1): number {
    return this.optionalSize(key, least) ?? this.refuse(key, `a whole number from ${least}`);
  }

  optionalSize(key: string, least = 1): number | undefined {
    const value = this.value(key);
    if (value === null) return undefined;
    if (Number.isSafeInteger(value) && (value as number) >= least) return value as number;
    return this.refuse(key, `a whole number from ${least}`);
  }

  /** A finite number, at least 0; above 0 if `positive`. */
  number(key: string, positive = false): number {
    const value = this.value(key);
    if (Number.isFinite(value) && ((value as number) > 0 || (value === 0 && !positive)))
      return value as number;
    return this.refuse(key, positive ? "a number above 0" : "a number from 0");
  }

  flag(key: string): boolean {
    const value = this.value(key) ?? false;
    return typeof value === "boolean" ? value : this.refuse(key, "true or false");
  }

  list<T>(key: string, of: string, accepts: (item: unknown) => item is T): T[] | undefined {
    const value = this.value(key);
    if (value === null) return undefined;
    return Array.isArray(value) && value.every(accepts) ? value : this.refuse(key, `a list of ${of}`);
  }

  /** Refuses a feature that this build does not have, unless `key` has one of the values that mean its absence. */
  only(key: string, ...accepted: unknown[]): void {
    const value = this.value(key);
    if (value === null || accepted.includes(value)) return;
    throw new ConfigError(
      `${this.where} says ${key} ${JSON.stringify(value)}; this build knows ${accepted.map((v) => JSON.stringify(v)).join(", ")} only.`,
      key,
    );
  }

  /** Throws: `key` is not what it must be. */
  refuse(key: string, needed: string): never {
    const says = this.given[key] === undefined ? "has the default" : "says";
    throw new ConfigError(
      `${this.where} ${says} ${key} ${JSON.stringify(this.value(key))}, it needs ${needed}.`,
      key,
    );
  }
}
