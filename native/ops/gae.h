// Generalized advantage estimation within each segment (Schulman et al. 2016, eq. 16), from its end backwards, in double:
//   delta[t] = rewards[t] + gamma · values[t+1] - values[t];  advantages[t] = delta[t] + gamma · lambda · advantages[t+1]
//   returns[t] = advantages[t] + values[t]
// Behind a segment's last element the value is last_values[d], or 0 where last_values is absent, and the advantage 0.
// rewards, values, advantages, returns [T], last_values [D] f32; offsets [D+1] i32.
#pragma once
#include "core/op.h"

MW_OP(gae, (In rewards, In values, In offsets, In last_values, Out advantages, Out returns, double gamma, double lambda))
