// From a kernel's signature to its JavaScript function: In, Out and lists arrive as tensor ids (0 = not given), numbers as
// numbers. The function resolves the ids, enqueues the kernel and returns at once.
#pragma once
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "binding/call.h"
#include "core/checks.h"

namespace mixwright {

// What reads the operands of one call: they must live on the device that the call runs on.
struct OpCall {
  const Call& call;
  const Device& device;
  const char* op;

  template <class Operand>
  Operand operand(napi_value value) const {
    const int64_t id = call.tensor_of(value);
    Operand operand;
    if (id == 0) return operand;
    const Slot& slot = call.environment().tensors.at(id);
    if (slot.device != &device) throw std::invalid_argument(std::string(op) + ": an operand lives on another device");
    static_cast<View&>(operand) = slot.view;
    return operand;
  }

  template <class Operand>
  std::vector<Operand> operands(napi_value value) const {
    uint32_t count;
    if (napi_get_array_length(call.node(), value, &count) != napi_ok) {
      throw std::invalid_argument("an array of tensor ids was expected");
    }
    std::vector<Operand> list(count);
    for (uint32_t i = 0; i < count; i++) {
      napi_value id;
      if (napi_get_element(call.node(), value, i, &id) != napi_ok) throw Napi::Error::New(call.node());
      list[i] = operand<Operand>(id);
    }
    return list;
  }
};

template <class T>
struct Argument;  // letter: how the signature string names it; read: from JavaScript

template <>
struct Argument<In> {
  static constexpr char letter = 'I';
  static In read(const OpCall& call, napi_value value) { return call.operand<In>(value); }
};
template <>
struct Argument<Out> {
  static constexpr char letter = 'O';
  static Out read(const OpCall& call, napi_value value) { return call.operand<Out>(value); }
};
template <>
struct Argument<InList> {
  static constexpr char letter = 'i';
  static InList read(const OpCall& call, napi_value value) { return call.operands<In>(value); }
};
template <>
struct Argument<OutList> {
  static constexpr char letter = 'o';
  static OutList read(const OpCall& call, napi_value value) { return call.operands<Out>(value); }
};
template <class Number>
struct NumberArgument {
  static constexpr char letter = 'n';
  static Number read(const OpCall& op, napi_value value) { return Number(op.call.number_of(value)); }
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

template <class Kernel, class CudaKernel>
struct OpRow {
  const char* name;
  Kernel* const cpu::Kernels::*kernel;
  CudaKernel* cuda;  // null in an engine without CUDA
};

template <class Signature>
struct OpBinding;

template <class... Args>
struct OpBinding<void(cpu::Exec&, Args...)> {
  using Kernel = void(cpu::Exec&, Args...);
  using CudaKernel = void(cuda::Exec&, Args...);

  static std::string signature() { return std::string{Argument<std::decay_t<Args>>::letter...}; }

  // JavaScript calls it as op(device, ...operands). The row is the function's data.
  static void call(const Call& call) { enqueue(call, std::index_sequence_for<Args...>{}); }

 private:
  template <size_t... I>
  static void enqueue(const Call& call, std::index_sequence<I...>) {
    const auto& row = call.data<OpRow<Kernel, CudaKernel>>();
    Environment& env = call.environment();
    Device& device = call.device(0);
    env.throw_if_poisoned(device);
    if (call.count() != sizeof...(Args) + 1) {
      throw std::invalid_argument(std::string(row.name) + ": " + std::to_string(call.count() - 1) + " operands, takes " +
                                  std::to_string(sizeof...(Args)));
    }
    const OpCall op{call, device, row.name};
    const auto run = [on_cpu = device.kernels->*row.kernel, on_cuda = row.cuda](auto& exec, const auto&... operands) {
      if constexpr (std::is_same_v<std::decay_t<decltype(exec)>, cpu::Exec>) on_cpu(exec, operands...);
      else on_cuda(exec, operands...);
    };
    std::tuple<std::decay_t<Args>...> operands{Argument<std::decay_t<Args>>::read(op, call[I + 1])...};
    if (device.stream.modes().finite) {
      std::vector<View> outputs;
      (collect_output(outputs, std::get<I>(operands)), ...);
      device.enqueue(row.name, [run, operands = std::move(operands), outputs = std::move(outputs), &device](auto& exec) {
        run(exec, std::get<I>(operands)...);
        device.check_outputs(outputs);
      });
    } else {
      device.enqueue(row.name, [run, operands = std::move(operands)](auto& exec) { run(exec, std::get<I>(operands)...); });
    }
    env.throw_if_failed_inline(device);
  }
};

}  // namespace mixwright
