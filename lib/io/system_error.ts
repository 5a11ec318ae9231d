const kWords: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  ENOTDIR: "it, or what it lies in, is a file; a folder was needed",
  EISDIR: "it is a folder, a file was needed",
  EEXIST: "a file of that name is there already",
  EACCES: "access is denied",
  EPERM: "access is denied",
  EROFS: "the disk can only be read",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EMFILE: "too many files are open",
};

/** An error of the operating system: a file that isn't there, a full disk. */
export const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && "syscall" in error;

/** What the system says is wrong, in words. */
export function systemReason({ code = "", message }: NodeJS.ErrnoException): string {
  return kWords[code] ?? message.replace(/, \w+( '.*)?$/, "");
}

/** The same with the path, in one line. */
export function systemMessage(error: NodeJS.ErrnoException): string {
  return error.path === undefined ? systemReason(error) : `${error.path}: ${systemReason(error)}`;
}

/** Says which file an error is about, where the system doesn't: reads and writes know only a number. */
export function withPath(error: unknown, file: string): unknown {
  if (isSystemError(error)) error.path ??= file;
  return error;
}
