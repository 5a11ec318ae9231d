// What belongs to one Node environment (the main thread, or one worker): its devices, its tensors, and the way results of
// reads come back to it. Environments share nothing but the set of tags in use, so the addon loads, runs and leaves in any
// number of workers.
#pragma once
#include <napi.h>

#include <functional>
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

// The number of an environment in the ids of its tensors: never 0, and given again only after all others were, so that an
// id outlives its environment without being taken for another's.
class EnvironmentTag {
 public:
  EnvironmentTag();
  ~EnvironmentTag();
  EnvironmentTag(const EnvironmentTag&) = delete;
  EnvironmentTag& operator=(const EnvironmentTag&) = delete;
  uint32_t value() const { return value_; }

 private:
  uint32_t value_;
};

class Environment {
 public:
  explicit Environment(Napi::Env env);
  ~Environment();
  static Environment& of(const Napi::CallbackInfo& info) { return *info.Env().GetInstanceData<Environment>(); }

  Device& device(double id);
  int open(const DeviceOptions& options);
  void close(int id);
  void stop();  // closes all devices; nothing is delivered afterwards

 private:
  EnvironmentTag tag_;

 public:
  TensorTable tensors;

  // Throws a JavaScript error that holds the failure.
  void throw_if_poisoned(Device& device) {
    if (const Failure* failure = device.stream.failure()) throw error_of(*failure);
  }
  // After an enqueue: in debug mode `sync` the command has run, and its failure belongs to this call.
  void throw_if_failed_inline(Device& device) {
    if (device.stream.modes().sync) throw_if_poisoned(device);
  }
  Napi::Error error_of(const Failure& failure);

  // Appends a read to the device's stream; the promise settles on this environment's thread once it ran.
  Napi::Value wait_for(Device& device, const char* op, std::function<void()> work, std::unique_ptr<Pending> pending);

 private:
  void deliver();

  Napi::Env env_;
  Napi::ThreadSafeFunction wake_;
  std::mutex mutex_;
  bool ending_ = false;  // the thread-safe function must not be called any more
  std::vector<std::unique_ptr<Pending>> finished_;
  int64_t waiting_ = 0;  // promises not settled yet; the event loop stays alive while there are any
  std::vector<std::unique_ptr<Device>> devices_;
};

}  // namespace mixwright
