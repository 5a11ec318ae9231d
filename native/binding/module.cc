// The addon's exports: devices, tensors, reads, and one function per op. lib/core/native.ts is the other side.
#include <napi.h>

#include <cmath>
#include <cstring>

#include "binding/bind_op.h"

namespace mixwright {

namespace {

using Info = const Napi::CallbackInfo&;

double number(const Napi::Value& value) { return value.As<Napi::Number>().DoubleValue(); }

float half_to_float(uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const float mantissa = float(half & 1023);
  const float magnitude = exponent == 0    ? std::ldexp(mantissa, -24)
                          : exponent == 31 ? (mantissa == 0 ? INFINITY : NAN)
                                           : std::ldexp(1024 + mantissa, exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

// Rounds to nearest, ties to even; past the largest half to infinity, below the smallest subnormal to 0; NaN stays NaN.
uint16_t float_to_half(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const uint16_t sign = uint16_t((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;
  if (magnitude >= 0x38800000u) return sign | uint16_t((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13);
  if (magnitude < 0x33000000u) return sign;
  const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  const uint32_t shift = 126u - (magnitude >> 23);
  const uint32_t kept = mantissa >> shift, rest = mantissa & ((1u << shift) - 1u), half = 1u << (shift - 1u);
  return sign | uint16_t(kept + (rest > half || (rest == half && (kept & 1u)) ? 1u : 0u));
}

float element_as_float(const void* source, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::f32: return static_cast<const float*>(source)[i];
    case DType::bf16: return widen(static_cast<const bf16*>(source)[i]);
    case DType::f16: return half_to_float(static_cast<const uint16_t*>(source)[i]);
    case DType::i32: return float(static_cast<const int32_t*>(source)[i]);
  }
  return 0;
}

void convert(const void* source, DType from, void* target, DType to, int64_t count) {
  if (from == to) {
    std::memcpy(target, source, size_t(count * bytes_of(to)));
  } else if (to == DType::f16) {
    for (int64_t i = 0; i < count; i++) static_cast<uint16_t*>(target)[i] = float_to_half(element_as_float(source, from, i));
  } else if (to == DType::f32) {
    for (int64_t i = 0; i < count; i++) static_cast<float*>(target)[i] = element_as_float(source, from, i);
  } else {
    for (int64_t i = 0; i < count; i++) narrow(element_as_float(source, from, i), static_cast<bf16*>(target)[i]);
  }
}

View view_from(Info info, size_t first) {  // dtype, rank, d0, d1, d2, d3
  View view;
  view.dtype = DType(int(number(info[first])));
  view.rank = int(number(info[first + 1]));
  for (int axis = 0; axis < kMaxRank; axis++) {
    view.dim[axis] = axis < view.rank ? int64_t(number(info[first + 2 + axis])) : 1;
  }
  return view;
}

// open({ threads, limitBytes, isa, sync, finite, trace, guard }) -> device id
Napi::Value open(Info info) {
  const Napi::Object given = info[0].As<Napi::Object>();
  DeviceOptions options;
  options.threads = given.Get("threads").As<Napi::Number>().Int32Value();
  options.limit_bytes = given.Get("limitBytes").As<Napi::Number>().Int64Value();
  options.isa = given.Get("isa").As<Napi::String>().Utf8Value();
  options.modes.sync = given.Get("sync").ToBoolean();
  options.modes.finite = given.Get("finite").ToBoolean();
  options.modes.trace = given.Get("trace").ToBoolean();
  options.modes.guard = given.Get("guard").ToBoolean();
  return Napi::Number::New(info.Env(), Environment::of(info).open(options));
}

// close(device): ends the stream after the command that is running; its tensors are gone.
void close(Info info) { Environment::of(info).close(info[0].As<Napi::Number>().Int32Value()); }

// alloc(device, dtype, rank, d0, d1, d2, d3) -> tensor id. The content is whatever was there.
Napi::Value alloc(Info info) {
  Environment& env = Environment::of(info);
  Device& device = env.device(info[0]);
  env.throw_if_poisoned(device);
  View view = view_from(info, 1);
  Block* block;
  try {
    block = device.take(view.bytes());
  } catch (const OutOfMemory& error) {
    Napi::Error out = Napi::Error::New(info.Env(), error.what());
    out.Set("code", "OUT_OF_MEMORY");
    out.Set("bytes", double(error.bytes));
    out.Set("liveBytes", double(error.live_bytes));
    throw out;
  }
  view.memory = block->memory;
  return Napi::Number::New(info.Env(), double(env.tensors.add(&device, block, view)));
}

// view(tensor, elementOffset, dtype, rank, d0, d1, d2, d3) -> id of a tensor that shares its memory
Napi::Value view(Info info) {
  Environment& env = Environment::of(info);
  const Slot slot = env.tensors.at(Environment::id_of(info[0]));
  View view = view_from(info, 2);
  const int64_t offset = int64_t(number(info[1])) * bytes_of(slot.view.dtype);
  if (offset < 0 || offset + view.bytes() > slot.view.bytes()) {
    throw std::invalid_argument("view reaches past its tensor");
  }
  view.memory = static_cast<char*>(slot.view.memory) + offset;
  slot.block->owners++;
  return Napi::Number::New(info.Env(), double(env.tensors.add(slot.device, slot.block, view)));
}

void free_tensor(Info info) { Environment::of(info).tensors.remove(Environment::id_of(info[0])); }

// upload(tensor, typed array, dtype of its elements): copies the array now; the tensor has it when its turn comes.
void upload(Info info) {
  Environment& env = Environment::of(info);
  Slot& slot = env.tensors.at(Environment::id_of(info[0]));
  env.throw_if_poisoned(*slot.device);
  const Napi::TypedArray array = info[1].As<Napi::TypedArray>();
  const DType from = DType(int(number(info[2])));
  const View target = slot.view;
  if (int64_t(array.ByteLength()) != target.size() * bytes_of(from)) {
    throw std::invalid_argument("upload: " + std::to_string(array.ByteLength()) + " bytes, needed " +
                                std::to_string(target.size() * bytes_of(from)));
  }
  const char* begin = static_cast<const char*>(array.ArrayBuffer().Data()) + array.ByteOffset();
  auto copy = std::make_shared<std::vector<char>>(begin, begin + array.ByteLength());
  slot.device->enqueue("upload", {target}, [copy, from, target](cpu::Exec&) {
    convert(copy->data(), from, target.memory, target.dtype, target.size());
  });
  env.throw_if_failed_inline(*slot.device);
}

// read(tensor) -> Promise of a Float32Array (f32, bf16) or Int32Array (i32) of its own.
Napi::Value read(Info info) {
  Environment& env = Environment::of(info);
  Slot& slot = env.tensors.at(Environment::id_of(info[0]));
  const View source = slot.view;
  auto pending = std::make_unique<Pending>(info.Env());
  void* target;
  const DType to = source.dtype == DType::i32 ? DType::i32 : DType::f32;
  if (to == DType::i32) {
    const Napi::Int32Array array = Napi::Int32Array::New(info.Env(), size_t(source.size()));
    target = array.ArrayBuffer().Data();
    pending->array = Napi::Persistent(Napi::TypedArray(array));
  } else {
    const Napi::Float32Array array = Napi::Float32Array::New(info.Env(), size_t(source.size()));
    target = array.ArrayBuffer().Data();
    pending->array = Napi::Persistent(Napi::TypedArray(array));
  }
  return env.wait_for(*slot.device, "read",
                      [source, target, to] { convert(source.memory, source.dtype, target, to, source.size()); },
                      std::move(pending));
}

// readRaw(tensor, dtype) -> Promise of a Uint8Array with the elements in that format; its own: the bytes as stored.
Napi::Value read_raw(Info info) {
  Environment& env = Environment::of(info);
  Slot& slot = env.tensors.at(Environment::id_of(info[0]));
  const View source = slot.view;
  const DType to = DType(int(number(info[1])));
  if ((to == DType::i32) != (source.dtype == DType::i32)) throw std::invalid_argument("whole numbers stay whole numbers");
  auto pending = std::make_unique<Pending>(info.Env());
  const Napi::Uint8Array array = Napi::Uint8Array::New(info.Env(), size_t(source.size() * bytes_of(to)));
  void* target = array.ArrayBuffer().Data();
  pending->array = Napi::Persistent(Napi::TypedArray(array));
  return env.wait_for(*slot.device, "read", [source, target, to] { convert(source.memory, source.dtype, target, to, source.size()); },
                      std::move(pending));
}

// fence(device) -> Promise that settles when everything enqueued so far has run.
Napi::Value fence(Info info) {
  Environment& env = Environment::of(info);
  Device& device = env.device(info[0]);
  return env.wait_for(device, "fence", nullptr, std::make_unique<Pending>(info.Env()));
}

// setFinite(device, on): whether commands enqueued from now on have their outputs checked.
void set_finite(Info info) { Environment::of(info).device(info[0]).stream.check_outputs(info[1].ToBoolean()); }

void reset(Info info) { Environment::of(info).device(info[0]).stream.reset(); }

// setPath(device, string), setStep(device, number): where the commands that follow come from.
void set_path(Info info) {
  Environment::of(info).device(info[0]).path = std::make_shared<const std::string>(info[1].As<Napi::String>().Utf8Value());
}
void set_step(Info info) { Environment::of(info).device(info[0]).step = int64_t(number(info[1])); }

Napi::Value stats(Info info) {
  Device& device = Environment::of(info).device(info[0]);
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("live", double(device.live_tensors));
  out.Set("bytes", double(device.pool.live_bytes()));
  out.Set("peakBytes", double(device.pool.peak_bytes()));
  out.Set("spareBytes", double(device.pool.spare_bytes()));
  out.Set("queued", double(device.stream.queued()));
  out.Set("commands", double(device.stream.commands()));
  out.Set("blockedMs", device.stream.blocked_ms());
  out.Set("threads", device.threads());
  out.Set("isa", device.isa);
  out.Set("poisoned", device.stream.failure() != nullptr);
  return out;
}

Napi::Value usable_isas(Info info) {
  Napi::Array names = Napi::Array::New(info.Env());
  for (const auto& choice : cpu::usable_isas()) names.Set(names.Length(), choice.name);
  return names;
}

// node-addon-api turns C++ exceptions into JavaScript errors around every callback.
template <class F>
void put(Napi::Env env, Napi::Object& exports, const char* name, F function) {
  exports.Set(name, Napi::Function::New(env, function, name));
}

template <class Signature>
void put_op(Napi::Env env, Napi::Object& ops, Napi::Object& signatures, const char* name,
            Signature* const cpu::Kernels::*kernel) {
  put(env, ops, name, [name, kernel](Info info) { OpBinding<Signature>::call(info, name, kernel); });
  signatures.Set(name, OpBinding<Signature>::signature());
}

}  // namespace

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Environment(env));
  put(env, exports, "open", open);
  put(env, exports, "close", close);
  put(env, exports, "alloc", alloc);
  put(env, exports, "view", view);
  put(env, exports, "free", free_tensor);
  put(env, exports, "upload", upload);
  put(env, exports, "read", read);
  put(env, exports, "readRaw", read_raw);
  put(env, exports, "fence", fence);
  put(env, exports, "reset", reset);
  put(env, exports, "setFinite", set_finite);
  put(env, exports, "setPath", set_path);
  put(env, exports, "setStep", set_step);
  put(env, exports, "stats", stats);
  put(env, exports, "usableIsas", usable_isas);
  Napi::Object ops = Napi::Object::New(env), signatures = Napi::Object::New(env);
#define MW_ROW(name) put_op(env, ops, signatures, #name, &cpu::Kernels::name);
  MIXWRIGHT_OPS(MW_ROW)
#undef MW_ROW
  exports.Set("ops", ops);
  exports.Set("signatures", signatures);
  return exports;
}

}  // namespace mixwright

static Napi::Object mixwright_init(Napi::Env env, Napi::Object exports) { return mixwright::init(env, exports); }
NODE_API_MODULE(mixwright, mixwright_init)
