// The addon's exports: devices, tensors, reads, and one function per op. lib/core/native.ts is the other side.
#include <napi.h>

#include <cmath>
#include <cstring>

#include "binding/bind_op.h"
#include "binding/text.h"

namespace mixwright {

namespace {

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

View view_from(const Call& call, size_t first) {  // dtype, rank, d0, d1, d2, d3
  View view;
  view.dtype = DType(int(call.number(first)));
  view.rank = int(call.number(first + 1));
  for (int axis = 0; axis < view.rank; axis++) view.dim[axis] = int64_t(call.number(first + 2 + axis));
  return view;
}

// open({ cuda, threads, limitBytes, isa, sync, finite, trace, guard }) -> device id
napi_value open(const Call& call) {
  const Napi::Object given(call.node(), call[0]);
  DeviceOptions options;
  options.cuda = given.Get("cuda").As<Napi::Number>().Int32Value();
  options.threads = given.Get("threads").As<Napi::Number>().Int32Value();
  options.limit_bytes = given.Get("limitBytes").As<Napi::Number>().Int64Value();
  options.isa = given.Get("isa").As<Napi::String>().Utf8Value();
  options.modes.sync = given.Get("sync").ToBoolean();
  options.modes.finite = given.Get("finite").ToBoolean();
  options.modes.trace = given.Get("trace").ToBoolean();
  options.modes.guard = given.Get("guard").ToBoolean();
  return Napi::Number::New(call.node(), call.environment().open(options));
}

// close(device): ends the stream after the command that is running; its tensors are gone.
void close(const Call& call) { call.environment().close(int(call.number(0))); }

// alloc(device, dtype, rank, d0, d1, d2, d3) -> tensor id. The content is whatever was there.
napi_value alloc(const Call& call) {
  Environment& env = call.environment();
  Device& device = call.device(0);
  env.throw_if_poisoned(device);
  View view = view_from(call, 1);
  Block* block;
  try {
    block = device.take(view.bytes());
  } catch (const OutOfMemory& error) {
    Napi::Error out = Napi::Error::New(call.node(), error.what());
    out.Set("code", "OUT_OF_MEMORY");
    out.Set("bytes", double(error.bytes));
    out.Set("liveBytes", double(error.live_bytes));
    const View largest = env.tensors.largest(&device);
    Napi::Array shape = Napi::Array::New(call.node());
    for (int axis = 0; axis < largest.rank; axis++) shape.Set(uint32_t(axis), double(largest.dim[axis]));
    out.Set("largestShape", shape);
    out.Set("largestDtype", name_of(largest.dtype));
    throw out;
  }
  view.memory = block->memory;
  return Napi::Number::New(call.node(), double(env.tensors.add(&device, block, view)));
}

// view(tensor, elementOffset, dtype, rank, d0, d1, d2, d3) -> id of a tensor that shares its memory
napi_value view(const Call& call) {
  Environment& env = call.environment();
  const Slot slot = env.tensors.at(call.tensor(0));
  View view = view_from(call, 2);
  const int64_t offset = int64_t(call.number(1)) * bytes_of(slot.view.dtype);
  if (offset < 0 || offset + view.bytes() > slot.view.bytes()) {
    throw std::invalid_argument("view reaches past its tensor");
  }
  view.memory = static_cast<char*>(slot.view.memory) + offset;
  slot.block->owners++;
  return Napi::Number::New(call.node(), double(env.tensors.add(slot.device, slot.block, view)));
}

void free_tensor(const Call& call) { call.environment().tensors.remove(call.tensor(0)); }

// In a command: elements in the host's memory become those of a tensor, in its format.
void send(Device& device, const void* source, DType from, const View& target) {
  if (device.on_host()) return convert(source, from, target.memory, target.dtype, target.size());
  if (from == target.dtype) return device.copy_in(target.memory, source, target.bytes());
  std::vector<char> converted(size_t(target.bytes()));
  convert(source, from, converted.data(), target.dtype, target.size());
  device.copy_in(target.memory, converted.data(), target.bytes());
}

// upload(tensor, typed array, dtype of its elements): copies the array now; the tensor has it when its turn comes.
void upload(const Call& call) {
  Environment& env = call.environment();
  Slot& slot = env.tensors.at(call.tensor(0));
  env.throw_if_poisoned(*slot.device);
  const Napi::TypedArray array(call.node(), call[1]);
  const DType from = DType(int(call.number(2)));
  const View target = slot.view;
  if (int64_t(array.ByteLength()) != target.size() * bytes_of(from)) {
    throw std::invalid_argument("upload: " + std::to_string(array.ByteLength()) + " bytes, needed " +
                                std::to_string(target.size() * bytes_of(from)));
  }
  const char* begin = static_cast<const char*>(array.ArrayBuffer().Data()) + array.ByteOffset();
  std::vector<char> copy(begin, begin + array.ByteLength());
  const bool finite = slot.device->stream.modes().finite;
  Device& device = *slot.device;
  device.enqueue("upload", [copy = std::move(copy), from, target, finite, &device](auto&) {
    send(device, copy.data(), from, target);
    if (finite) device.check_outputs({target});
  });
  env.throw_if_failed_inline(*slot.device);
}

// In the work of a read: the elements of a tensor, in another format, in the host's memory.
void fetch(Device& device, const View& source, void* target, DType to) {
  device.copy_out(source, [from = source.dtype, target, to](const char* bytes, int64_t at, int64_t count) {
    const int64_t first = at / bytes_of(from);
    convert(bytes, from, static_cast<char*>(target) + first * bytes_of(to), to, count / bytes_of(from));
  });
}

// read(tensor) -> Promise of a Float32Array (f32, bf16) or Int32Array (i32) of its own.
napi_value read(const Call& call) {
  Environment& env = call.environment();
  Slot& slot = env.tensors.at(call.tensor(0));
  const View source = slot.view;
  auto pending = std::make_unique<Pending>(call.node());
  void* target;
  const DType to = source.dtype == DType::i32 ? DType::i32 : DType::f32;
  if (to == DType::i32) {
    const Napi::Int32Array array = Napi::Int32Array::New(call.node(), size_t(source.size()));
    target = array.ArrayBuffer().Data();
    pending->array = Napi::Persistent(Napi::TypedArray(array));
  } else {
    const Napi::Float32Array array = Napi::Float32Array::New(call.node(), size_t(source.size()));
    target = array.ArrayBuffer().Data();
    pending->array = Napi::Persistent(Napi::TypedArray(array));
  }
  return env.wait_for(*slot.device, "read",
                      [device = slot.device, source, target, to] { fetch(*device, source, target, to); },
                      std::move(pending));
}

// readRaw(tensor, dtype) -> Promise of a Uint8Array with the elements in that format; its own: the bytes as stored.
napi_value read_raw(const Call& call) {
  Environment& env = call.environment();
  Slot& slot = env.tensors.at(call.tensor(0));
  const View source = slot.view;
  const DType to = DType(int(call.number(1)));
  if ((to == DType::i32) != (source.dtype == DType::i32)) throw std::invalid_argument("whole numbers stay whole numbers");
  auto pending = std::make_unique<Pending>(call.node());
  const Napi::Uint8Array array = Napi::Uint8Array::New(call.node(), size_t(source.size() * bytes_of(to)));
  void* target = array.ArrayBuffer().Data();
  pending->array = Napi::Persistent(Napi::TypedArray(array));
  return env.wait_for(*slot.device, "read", [device = slot.device, source, target, to] { fetch(*device, source, target, to); },
                      std::move(pending));
}

// fence(device) -> Promise that settles when everything enqueued so far has run.
napi_value fence(const Call& call) {
  Environment& env = call.environment();
  Device& device = call.device(0);
  return env.wait_for(device, "fence", [] {}, std::make_unique<Pending>(call.node()));
}

// setFinite(device, on): whether commands enqueued from now on have their outputs checked.
void set_finite(const Call& call) { call.device(0).stream.check_outputs(call.number(1) != 0); }

void reset(const Call& call) { call.device(0).reset(); }

// setPath(device, string), setStep(device, number): where the commands that follow come from.
void set_path(const Call& call) {
  call.device(0).stream.set_path(Napi::String(call.node(), call[1]).Utf8Value());
}
void set_step(const Call& call) { call.device(0).stream.set_step(int64_t(call.number(1))); }

napi_value stats(const Call& call) {
  Device& device = call.device(0);
  Napi::Object out = Napi::Object::New(call.node());
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

napi_value usable_isas(const Call& call) {
  Napi::Array names = Napi::Array::New(call.node());
  for (const auto& choice : cpu::usable_isas()) names.Set(names.Length(), choice.name);
  return names;
}

// cudaDevices() -> { built, reason, devices: [{ name, capability, multiprocessors, bytes }] }; reason: why there is none
napi_value cuda_devices(const Call& call) {
  Napi::Object out = Napi::Object::New(call.node());
  Napi::Array devices = Napi::Array::New(call.node());
  out.Set("devices", devices);
#ifdef MW_CUDA
  out.Set("built", true);
  out.Set("reason", cuda::why_no_device());
  for (int i = 0; i < cuda::device_count(); i++) {
    const cuda::Properties found = cuda::properties(i);
    Napi::Object one = Napi::Object::New(call.node());
    one.Set("name", found.name);
    one.Set("capability", std::to_string(found.major) + "." + std::to_string(found.minor));
    one.Set("multiprocessors", found.multiprocessors);
    one.Set("bytes", double(found.memory_bytes));
    devices.Set(uint32_t(i), one);
  }
#else
  out.Set("built", false);
  out.Set("reason", "this engine was built without CUDA");
#endif
  return out;
}

template <auto body>
void put(Napi::Env env, Napi::Object& exports, const char* name, const void* data = nullptr) {
  napi_value function;
  const napi_status status =
      napi_create_function(env, name, NAPI_AUTO_LENGTH, entry<body>, const_cast<void*>(data), &function);
  if (status != napi_ok) throw Napi::Error::New(env);
  exports.Set(name, function);
}

template <class Kernel, class CudaKernel>
void put_op(Napi::Env env, Napi::Object& ops, Napi::Object& signatures, const OpRow<Kernel, CudaKernel>& row) {
  put<OpBinding<Kernel>::call>(env, ops, row.name, &row);
  signatures.Set(row.name, OpBinding<Kernel>::signature());
}

}  // namespace

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Environment(env));
  put<open>(env, exports, "open");
  put<close>(env, exports, "close");
  put<alloc>(env, exports, "alloc");
  put<view>(env, exports, "view");
  put<free_tensor>(env, exports, "free");
  put<upload>(env, exports, "upload");
  put<read>(env, exports, "read");
  put<read_raw>(env, exports, "readRaw");
  put<fence>(env, exports, "fence");
  put<reset>(env, exports, "reset");
  put<set_finite>(env, exports, "setFinite");
  put<set_path>(env, exports, "setPath");
  put<set_step>(env, exports, "setStep");
  put<stats>(env, exports, "stats");
  put<usable_isas>(env, exports, "usableIsas");
  put<cuda_devices>(env, exports, "cudaDevices");
  Napi::Object ops = Napi::Object::New(env), signatures = Napi::Object::New(env);
#ifdef MW_CUDA
#define MW_ON_CUDA(name) cuda::name
#else
#define MW_ON_CUDA(name) nullptr
#endif
#define MW_ROW(name)                                                                                  \
  static constexpr OpRow<name##_signature<cpu::Exec>, name##_signature<cuda::Exec>> name##_row{       \
      #name, &cpu::Kernels::name, MW_ON_CUDA(name)};                                                  \
  put_op(env, ops, signatures, name##_row);
  MIXWRIGHT_OPS(MW_ROW)
#undef MW_ROW
#undef MW_ON_CUDA
  exports.Set("ops", ops);
  exports.Set("signatures", signatures);
  exports.Set("text", text_exports(env));
  return exports;
}

}  // namespace mixwright

static Napi::Object mixwright_init(Napi::Env env, Napi::Object exports) { return mixwright::init(env, exports); }
NODE_API_MODULE(mixwright, mixwright_init)
