// Stands in for kernels/cuda/products.cc where there is no cuBLAS: the same products, plainly.
#include "kernels/cuda/products.h"

#include "kernels/cuda/device_code.h"

namespace tovamill::emulation {
namespace {
std::int32_t few_rows = 0;
}
void set_few_rows(std::int32_t n) { few_rows = n; }
}  // namespace tovamill::emulation

namespace tovamill::cuda {
namespace {

float element(const void* p, ElementType type, std::int64_t i) {
  return type == ElementType::bf16 ? to_float(static_cast<const Bf16*>(p)[i])
                                   : static_cast<const float*>(p)[i];
}

}  // namespace

struct Products::Impl {
  ElementType type;
};

Products::Products(ElementType type, std::int32_t) : impl_(std::make_unique<Impl>(Impl{type})) {}
Products::~Products() = default;
bool Products::may_depend_on_rows() { return emulation::few_rows > 0; }

void Products::multiply(const Operand& w, const void* x, std::int32_t n_rows, RowKind, void* out,
                        ElementType out_type, bool adds, void*, const Stream& stream) {
  const ElementType type = impl_->type;
  const bool backwards = n_rows <= emulation::few_rows;
  emulation::enqueue(stream.get(), [=] {
    for (std::int64_t r = 0; r < n_rows; ++r) {
      for (std::int64_t o = 0; o < w.n_out; ++o) {
        float sum = 0.0f;
        for (std::int64_t k = 0; k < w.n_in; ++k) {
          const std::int64_t i = backwards ? w.n_in - 1 - k : k;
          sum += element(x, type, r * w.n_in + i) * element(w.data, type, o * w.n_in + i);
        }
        const std::int64_t at = r * w.n_out + o;
        if (adds) sum += element(out, out_type, at);
        if (out_type == ElementType::bf16) {
          static_cast<Bf16*>(out)[at] = to_bf16(sum);
        } else {
          static_cast<float*>(out)[at] = sum;
        }
      }
    }
  });
}

}  // namespace tovamill::cuda
