#include "binding/environment.h"

#include <bitset>
#include <stdexcept>

namespace mixwright {

namespace {
std::mutex tags_mutex;
std::bitset<TensorTable::kEnvironments> tags_in_use;  // 0 is never given: id 0 is an operand that is absent
uint32_t last_tag = 0;
}  // namespace

EnvironmentTag::EnvironmentTag() {
  const std::lock_guard<std::mutex> lock(tags_mutex);
  if (tags_in_use.count() == TensorTable::kEnvironments - 1) throw std::runtime_error("too many Node environments at once");
  do last_tag = last_tag % (TensorTable::kEnvironments - 1) + 1;
  while (tags_in_use[last_tag]);
  value_ = last_tag;
  tags_in_use[value_] = true;
}

EnvironmentTag::~EnvironmentTag() {
  const std::lock_guard<std::mutex> lock(tags_mutex);
  tags_in_use[value_] = false;
}

Environment::Environment(Napi::Env env) : tensors(tag_.value()), env_(env) {
  wake_ = Napi::ThreadSafeFunction::New(env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "mixwright", 0, 1);
  wake_.Unref(env);
  // Runs before the thread-safe function is torn down: no stream may call it after that.
  env.AddCleanupHook([](Environment* self) { self->stop(); }, this);
}

Environment::~Environment() { stop(); }

void Environment::close(int id) {
  auto& device = devices_.at(size_t(id));
  if (!device) return;
  device->close();
  tensors.remove_all(device.get());
  device.reset();
}

void Environment::stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  for (size_t id = 0; id < devices_.size(); id++) close(int(id));
  finished_.clear();  // their promises die with the environment
}

Device& Environment::device(double id) {
  const size_t index = size_t(id);
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

Napi::Value Environment::wait_for(Device& device, const char* op, std::function<void()> work,
                                  std::unique_ptr<Pending> pending) {
  const Napi::Promise promise = pending->promise.Promise();
  Pending* raw = pending.release();
  if (waiting_++ == 0) wake_.Ref(env_);
  device.enqueue_read(op, std::move(work), [this, raw](const Failure* failure) {
    if (failure) {
      raw->failed = true;
      raw->failure = *failure;
    }
    bool wake;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      wake = finished_.empty() && !ending_;
      finished_.emplace_back(raw);
    }
    if (wake) wake_.NonBlockingCall([this](Napi::Env, Napi::Function) { deliver(); });
  });
  return promise;
}

void Environment::deliver() {
  std::vector<std::unique_ptr<Pending>> finished;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    finished.swap(finished_);
  }
  for (const auto& pending : finished) {
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
