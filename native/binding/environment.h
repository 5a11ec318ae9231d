// What belongs to one Node environment (the main thread, or one worker): its devices, its tensors, and the way results of
// reads come back to it. Nothing here is shared between environments, so the addon loads, runs and leaves in any number of
// workers.
#pragma once
#include <napi.h>

#include <memory>
#include <mutex>
#include <vector>

#include "binding/device.h"

namespace mixwright {

// A promise that waits for the stream: a fence, or a read with the memory it fills.
struct Pending {
  explicit Pending(Napi::Env env) : promise(Napi::Promise::Deferred::New(env)) {}
  Napi::Promise::Deferred promise;
  Napi::Reference<Napi::TypedArray> array;  // empty for a fence
  bool failed = false;
  Failure failure;
};

class Environment {
 public:
  explicit Environment(Napi::Env env);
  ~Environment();
  static Environment& of(const Napi::CallbackInfo& info) { return *info.Env().GetInstanceData<Environment>(); }

  Device& device(const Napi::Value& id);
  int open(const DeviceOptions& options);
  void close(int id);
  void stop();  // ends all streams; nothing is delivered afterwards

  TensorTable tensors;

  template <class Operand>
  Operand operand(const Napi::Value& value) {
    const int64_t id = id_of(value);
    Operand operand;
    if (id != 0) static_cast<View&>(operand) = tensors.at(id).view;
    return operand;
  }

  template <class Operand>
  std::vector<Operand> operands(const Napi::Value& value) {
    if (!value.IsArray()) throw std::invalid_argument("an array of tensor ids was expected");
    const Napi::Array ids = value.As<Napi::Array>();
    std::vector<Operand> list(ids.Length());
    for (uint32_t i = 0; i < ids.Length(); i++) list[i] = operand<Operand>(ids.Get(i));
    return list;
  }

  static int64_t id_of(const Napi::Value& value) {
    if (!value.IsNumber()) throw std::invalid_argument("a tensor id was expected");
    return value.As<Napi::Number>().Int64Value();
  }

  void throw_if_poisoned(Device& device);
  Napi::Error error_of(const Failure& failure);

  // Appends a read to the device's stream; the promise settles on this environment's thread once it ran.
  Napi::Value wait_for(Device& device, const char* op, Stream::Work work, std::unique_ptr<Pending> pending);

 private:
  void deliver();

  Napi::Env env_;
  Napi::ThreadSafeFunction wake_;
  std::mutex mutex_;
  std::vector<Pending*> finished_;
  int64_t waiting_ = 0;  // promises not settled yet; the event loop stays alive while there are any
  std::vector<std::unique_ptr<Device>> devices_;
};

}  // namespace mixwright
