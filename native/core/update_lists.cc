#include "core/update_lists.h"

#include <string>

#include "core/checks.h"

namespace mixwright {

namespace {
void require_f32(const View& tensor, const View& param, const char* what, size_t i) {
  if (tensor.dtype != DType::f32 || tensor.size() != param.size()) {
    throw KernelError(std::string(what) + " " + std::to_string(i) + " has " + std::to_string(tensor.size()) + " elements of " +
                      name_of(tensor.dtype) + ", needed " + std::to_string(param.size()) + " of f32");
  }
}
}  // namespace

void check_update_lists(const InList& grads, const OutList& params, const std::vector<const OutList*>& states,
                        const OutList& masters) {
  const size_t count = params.size();
  bool same = grads.size() == count && masters.size() == count;
  for (const OutList* list : states) same = same && list->size() == count;
  require(same, "the lists differ in length");
  for (size_t i = 0; i < count; i++) {
    require_f32(grads[i], params[i], "gradient", i);
    for (const OutList* list : states) require_f32((*list)[i], params[i], "state", i);
    if (params[i].dtype == DType::bf16) {
      if (!masters[i]) throw KernelError("parameter " + std::to_string(i) + " is bf16 and has no f32 master");
      require_f32(masters[i], params[i], "master", i);
    } else {
      require_f32(params[i], params[i], "parameter", i);
      if (masters[i]) throw KernelError("parameter " + std::to_string(i) + " is f32 and takes no master");
    }
  }
}

void check_moment_lists(const InList& grads, const OutList& params, const std::vector<const OutList*>& codes,
                        const std::vector<const OutList*>& scales, const OutList& masters) {
  check_update_lists(grads, params, {}, masters);
  const auto check = [&](const std::vector<const OutList*>& lists, DType dtype, auto size) {
    for (const OutList* list : lists) {
      require(list->size() == params.size(), "the lists differ in length");
      for (size_t i = 0; i < params.size(); i++) {
        const View& tensor = (*list)[i];
        require(tensor.dtype == dtype && tensor.size() == size(params[i]), "8-bit state of another size or format");
      }
    }
  };
  check(codes, DType::i32, [](const View& param) { return (param.size() + 3) / 4; });
  check(scales, DType::f32, moment_blocks);
}

}  // namespace mixwright
