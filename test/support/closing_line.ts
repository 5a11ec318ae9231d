import type { TestModule } from "vitest/node";

/**
 * Vitest reporter that ends a run with one plain line, `N passed, N failed, N skipped`, for scripts to read.
 * A file that fails as a whole (a crash while loading or running it) counts as one failure.
 */
export default class ClosingLine {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    let passed = 0;
    let failed = 0;
    let skipped = 0;
    for (const module of modules) {
      const before = failed;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "passed") passed++;
        else if (state === "failed") failed++;
        else skipped++;
      }
      const fileBroke = module.state() === "failed" || module.errors().length > 0;
      if (fileBroke && failed === before) failed++;
    }
    if (failed === 0) failed += unhandled.length;
    console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
  }
}
