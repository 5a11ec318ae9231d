#include "binding/environment.h"

#include <atomic>

namespace mixwright {

namespace {
std::atomic<uint32_t> environments{1};
}

Environment::Environment(Napi::Env env) : tensors(environments++), env_(env) {
  wake_ = Napi::ThreadSafeFunction::New(env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "mixwright", 0, 1);
  wake_.Unref(env);
  // Runs before the thread-safe function is torn down: no stream may call it after that.
  env.AddCleanupHook([](Environment* self) { self->stop(); }, this);
}

Environment::~Environment() { stop(); }

void Environment::close(int id) {
  auto& device = devices_.at(size_t(id));
  if (!device) return;
  device->stream.close();
  tensors.remove_all(device.get());
  device.reset();
}

void Environment::stop() {
  for (auto& device : devices_) device.reset();
}

Device& Environment::device(const Napi::Value& id) {
  const size_t index = size_t(id_of(id));
  if (index >= devices_.size() || !devices_[index]) throw std::invalid_argument("device was closed");
  return *devices_[index];
}

int Environment::open(const DeviceOptions& options) {
  devices_.push_back(std::make_unique<Device>(options));
  return int(devices_.size()) - 1;
}

Napi::Error Environment::error_of(const Failure& failure) {
  Napi::Error error = Napi::Error::New(env_, failure.message);
  error.Set("op", failure.op);
  error.Set("path", failure.path);
  error.Set("step", double(failure.step));
  error.Set("code", "STREAM_FAILED");
  return error;
}

void Environment::throw_if_poisoned(Device& device) {
  if (const Failure* failure = device.stream.failure()) throw error_of(*failure);
}

Napi::Value Environment::wait_for(Device& device, const char* op, Stream::Work work, std::unique_ptr<Pending> pending) {
  const Napi::Promise promise = pending->promise.Promise();
  Pending* raw = pending.release();
  if (waiting_++ == 0) wake_.Ref(env_);
  device.stream.enqueue_read(device.label(op), std::move(work), [this, raw](const Failure* failure) {
    if (failure) {
      raw->failed = true;
      raw->failure = *failure;
    }
    bool first;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      first = finished_.empty();
      finished_.push_back(raw);
    }
    if (first) wake_.NonBlockingCall([this](Napi::Env, Napi::Function) { deliver(); });
  });
  return promise;
}

void Environment::deliver() {
  std::vector<Pending*> finished;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    finished.swap(finished_);
  }
  for (Pending* raw : finished) {
    const std::unique_ptr<Pending> pending(raw);
    const Napi::HandleScope scope(env_);
    if (pending->failed) {
      pending->promise.Reject(error_of(pending->failure).Value());
    } else if (pending->array.IsEmpty()) {
      pending->promise.Resolve(env_.Undefined());
    } else {
      pending->promise.Resolve(pending->array.Value());
    }
  }
  waiting_ -= int64_t(finished.size());
  if (waiting_ == 0) wake_.Unref(env_);
}

}  // namespace mixwright
