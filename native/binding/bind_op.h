// From a kernel's signature to its JavaScript function: In, Out and lists arrive as tensor ids (0 = not given), numbers as
// numbers. The function resolves the ids, enqueues the kernel and returns at once.
#pragma once
#include <napi.h>

#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "binding/environment.h"

namespace mixwright {

// What reads the operands of one call: they must live on the device that the call runs on.
struct OpCall {
  Environment& env;
  const Device& device;
  const char* op;

  template <class Operand>
  Operand operand(const Napi::Value& value) const {
    const int64_t id = Environment::id_of(value);
    Operand operand;
    if (id == 0) return operand;
    const Slot& slot = env.tensors.at(id);
    if (slot.device != &device) throw std::invalid_argument(std::string(op) + ": an operand lives on another device");
    static_cast<View&>(operand) = slot.view;
    return operand;
  }

  template <class Operand>
  std::vector<Operand> operands(const Napi::Value& value) const {
    if (!value.IsArray()) throw std::invalid_argument("an array of tensor ids was expected");
    const Napi::Array ids = value.As<Napi::Array>();
    std::vector<Operand> list(ids.Length());
    for (uint32_t i = 0; i < ids.Length(); i++) list[i] = operand<Operand>(ids.Get(i));
    return list;
  }
};

template <class T>
struct Argument;  // letter: how the signature string names it; read: from JavaScript

template <>
struct Argument<In> {
  static constexpr char letter = 'I';
  static In read(const OpCall& call, const Napi::Value& value) { return call.operand<In>(value); }
};
template <>
struct Argument<Out> {
  static constexpr char letter = 'O';
  static Out read(const OpCall& call, const Napi::Value& value) { return call.operand<Out>(value); }
};
template <>
struct Argument<InList> {
  static constexpr char letter = 'i';
  static InList read(const OpCall& call, const Napi::Value& value) { return call.operands<In>(value); }
};
template <>
struct Argument<OutList> {
  static constexpr char letter = 'o';
  static OutList read(const OpCall& call, const Napi::Value& value) { return call.operands<Out>(value); }
};
template <class Number>
struct NumberArgument {
  static constexpr char letter = 'n';
  static Number read(const OpCall&, const Napi::Value& value) {
    if (!value.IsNumber() && !value.IsBoolean()) throw std::invalid_argument("a number was expected");
    return Number(value.IsBoolean() ? double(value.As<Napi::Boolean>().Value()) : value.As<Napi::Number>().DoubleValue());
  }
};
template <> struct Argument<float> : NumberArgument<float> {};
template <> struct Argument<double> : NumberArgument<double> {};
template <> struct Argument<int64_t> : NumberArgument<int64_t> {};
template <> struct Argument<bool> : NumberArgument<bool> {};

inline void collect_output(std::vector<View>& outputs, const Out& out) { outputs.push_back(out); }
inline void collect_output(std::vector<View>& outputs, const OutList& list) {
  outputs.insert(outputs.end(), list.begin(), list.end());
}
template <class T>
void collect_output(std::vector<View>&, const T&) {}

template <class Signature>
struct OpBinding;

template <class... Args>
struct OpBinding<void(cpu::Exec&, Args...)> {
  using Kernel = void(cpu::Exec&, Args...);

  static std::string signature() { return std::string{Argument<std::decay_t<Args>>::letter...}; }

  // JavaScript calls it as op(device, ...operands).
  static void call(const Napi::CallbackInfo& info, const char* name, Kernel* const cpu::Kernels::*kernel) {
    call(info, name, kernel, std::index_sequence_for<Args...>{});
  }

 private:
  template <size_t... I>
  static void call(const Napi::CallbackInfo& info, const char* name, Kernel* const cpu::Kernels::*kernel,
                   std::index_sequence<I...>) {
    Environment& env = Environment::of(info);
    Device& device = env.device(info[0]);
    env.throw_if_poisoned(device);
    if (info.Length() != sizeof...(Args) + 1) {
      throw std::invalid_argument(std::string(name) + ": " + std::to_string(info.Length() - 1) + " operands, takes " +
                                  std::to_string(sizeof...(Args)));
    }
    const OpCall op_call{env, device, name};
    std::tuple<std::decay_t<Args>...> operands{Argument<std::decay_t<Args>>::read(op_call, info[I + 1])...};
    std::vector<View> outputs;
    if (device.stream.modes().finite) (collect_output(outputs, std::get<I>(operands)), ...);
    Kernel* run = device.kernels->*kernel;
    device.enqueue(name, std::move(outputs), [run, operands = std::move(operands)](cpu::Exec& exec) {
      run(exec, std::get<I>(operands)...);
    });
    env.throw_if_failed_inline(device);
  }
};

}  // namespace mixwright
