// The text kernels' exports: no device, no tensor; synchronous, callable from any thread of JavaScript.
#pragma once
#include <napi.h>

namespace mixwright {

Napi::Object text_exports(Napi::Env env);

}  // namespace mixwright
