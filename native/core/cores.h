// Which core a thread runs on. On a busy machine the system likes to wake a thread on the very core that the thread that
// wakes it runs on, where the two can only take turns.
#pragma once

namespace mixwright {

int current_core();  // -1: the system doesn't say

// Moves the calling thread to any other core that the process may use. False when there is none.
bool leave_core(int core);

}  // namespace mixwright
