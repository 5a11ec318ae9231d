// Which core a thread runs on. On a busy machine the system likes to wake a helper on the very core that its caller runs on,
// where it can only take turns with it; a helper that finds itself there moves away.
#pragma once

namespace mixwright::cpu {

int current_core();  // -1: the system doesn't say

// Moves the calling thread to any other core that the process may use. False when there is none.
bool leave_core(int core);

}  // namespace mixwright::cpu
