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

}  // namespace mixwright
