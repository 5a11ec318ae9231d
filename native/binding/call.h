// The arguments of one call from JavaScript, for functions that are called thousands of times a step: read straight through
// Node-API, without an object or an allocation for each.
#pragma once
#include <napi.h>

#include <stdexcept>
#include <type_traits>

#include "binding/environment.h"

namespace mixwright {

class Call {
 public:
  Call(napi_env node, napi_callback_info info) : node_(node) {
    count_ = kMost;
    if (napi_get_cb_info(node, info, &count_, values_, nullptr, &data_) != napi_ok) throw Napi::Error::New(node);
    if (count_ > kMost) count_ = kMost;
    environment_ = Napi::Env(node).GetInstanceData<Environment>();
  }

  Napi::Env node() const { return node_; }
  Environment& environment() const { return *environment_; }
  size_t count() const { return count_; }
  napi_value operator[](size_t i) const { return values_[i]; }
  template <class T>
  const T& data() const { return *static_cast<const T*>(data_); }

  // A number, or a flag as 0 or 1.
  double number(size_t i) const { return number_of(values_[i]); }
  double number_of(napi_value value) const {
    double number;
    if (napi_get_value_double(node_, value, &number) == napi_ok) return number;
    bool flag;
    if (napi_get_value_bool(node_, value, &flag) == napi_ok) return flag ? 1 : 0;
    throw std::invalid_argument("a number was expected");
  }

  int64_t tensor(size_t i) const { return tensor_of(values_[i]); }
  int64_t tensor_of(napi_value value) const {
    double id;
    if (napi_get_value_double(node_, value, &id) != napi_ok) throw std::invalid_argument("a tensor id was expected");
    return int64_t(id);
  }

  Device& device(size_t i) const { return environment_->device(number(i)); }

 private:
  static constexpr size_t kMost = 32;
  napi_env node_;
  napi_value values_[kMost];
  size_t count_;
  void* data_ = nullptr;
  Environment* environment_;
};

// A function for Node: body(call) gives its result, if it has one; what it throws becomes a JavaScript error.
template <auto body>
napi_value entry(napi_env node, napi_callback_info info) {
  try {
    const Call call(node, info);
    if constexpr (std::is_void_v<decltype(body(call))>) body(call);
    else return body(call);
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  } catch (const std::exception& error) {
    Napi::Error::New(node, error.what()).ThrowAsJavaScriptException();
  }
  return nullptr;
}

}  // namespace mixwright
