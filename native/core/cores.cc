#include "core/cores.h"

#ifdef __linux__
#include <sched.h>
#endif

namespace mixwright {

#ifdef __linux__

namespace {
// As the process was started: what a thread may use later is what we left it.
const cpu_set_t allowed = [] {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) CPU_ZERO(&set);
  return set;
}();
}  // namespace

int current_core() { return sched_getcpu(); }

bool leave_core(int core) {
  if (core < 0 || core >= CPU_SETSIZE) return false;
  cpu_set_t others = allowed;
  CPU_CLR(core, &others);
  return CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof(others), &others) == 0;
}

#else

int current_core() { return -1; }
bool leave_core(int) { return false; }

#endif

}  // namespace mixwright
