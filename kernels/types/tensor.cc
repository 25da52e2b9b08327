#include "kernels/types/tensor.h"

#include "kernels/types/error.h"

namespace tovamill {

BlockFormat block_format(StorageType type) {
  switch (type) {
    case StorageType::f32:
      return {"F32", 1, 4};
    case StorageType::f16:
      return {"F16", 1, 2};
    case StorageType::bf16:
      return {"BF16", 1, 2};
    case StorageType::q8_0:
      return {"Q8_0", 32, 2 + 32};
    case StorageType::q4_0:
      return {"Q4_0", 32, 2 + 16};
    case StorageType::q4_1:
      return {"Q4_1", 32, 2 + 2 + 16};
    case StorageType::q5_0:
      return {"Q5_0", 32, 2 + 4 + 16};
    case StorageType::q5_1:
      return {"Q5_1", 32, 2 + 2 + 4 + 16};
    case StorageType::q4_k:
      return {"Q4_K", 256, 2 + 2 + 12 + 128};
    case StorageType::q5_k:
      return {"Q5_K", 256, 2 + 2 + 12 + 32 + 128};
    case StorageType::q6_k:
      return {"Q6_K", 256, 128 + 64 + 16 + 2};
    case StorageType::q2_k:
      return {"Q2_K", 256, 16 + 64 + 2 + 2};
    case StorageType::q3_k:
      return {"Q3_K", 256, 32 + 64 + 12 + 2};
    case StorageType::iq1_m:
      return {"IQ1_M", 256, 32 + 16 + 8};
    case StorageType::iq1_s:
      return {"IQ1_S", 256, 2 + 32 + 16};
    case StorageType::iq2_s:
      return {"IQ2_S", 256, 2 + 32 + 32 + 8 + 8};
    case StorageType::iq2_xs:
      return {"IQ2_XS", 256, 2 + 64 + 8};
    case StorageType::iq2_xxs:
      return {"IQ2_XXS", 256, 2 + 64};
    case StorageType::iq3_s:
      return {"IQ3_S", 256, 2 + 64 + 8 + 32 + 4};
    case StorageType::iq3_xxs:
      return {"IQ3_XXS", 256, 2 + 64 + 32};
    case StorageType::iq4_nl:
      return {"IQ4_NL", 32, 2 + 16};
    case StorageType::iq4_xs:
      return {"IQ4_XS", 256, 2 + 2 + 4 + 128};
    case StorageType::mxfp4:
      return {"MXFP4", 32, 1 + 16};
    case StorageType::tq1_0:
      return {"TQ1_0", 256, 48 + 4 + 2};
    case StorageType::tq2_0:
      return {"TQ2_0", 256, 64 + 2};
    case StorageType::u8:
      return {"U8", 1, 1};
    case StorageType::i8:
      return {"I8", 1, 1};
    case StorageType::i32:
      return {"I32", 1, 4};
    case StorageType::i64:
      return {"I64", 1, 8};
    case StorageType::f8_e4m3:
      return {"F8_E4M3", 1, 1};
    case StorageType::f8_e8m0:
      return {"F8_E8M0", 1, 1};
  }
  throw Error(ExitCode::internal, "block_format: an element type out of range");
}

bool is_raw(StorageType type) {
  switch (type) {
    case StorageType::u8:
    case StorageType::i8:
    case StorageType::i32:
    case StorageType::i64:
    case StorageType::f8_e4m3:
    case StorageType::f8_e8m0:
      return true;
    default:
      return false;
  }
}

std::uint64_t bytes_of_elements(StorageType type, std::uint64_t n) {
  const BlockFormat format = block_format(type);
  const auto each = static_cast<std::uint64_t>(format.n_elements);
  return (n + each - 1) / each * static_cast<std::uint64_t>(format.n_bytes);
}

std::int64_t TensorView::n_elements() const { return n_rows() * n_cols(); }

std::int64_t TensorView::n_rows() const {
  std::int64_t product = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) product *= shape[i];
  return product;
}

std::int64_t TensorView::n_cols() const { return shape.empty() ? 1 : shape.back(); }

}  // namespace tovamill
