#include "io/model/gguf_types.h"

namespace tovamill {

namespace {

struct GgmlType {
  std::uint32_t number;
  const char* name;
  std::optional<StorageType> storage;
};

constexpr GgmlType kGgmlTypes[] = {
    {0, "F32", StorageType::f32},
    {1, "F16", StorageType::f16},
    {2, "Q4_0", StorageType::q4_0},
    {3, "Q4_1", StorageType::q4_1},
    {4, "Q4_2", std::nullopt},
    {5, "Q4_3", std::nullopt},
    {6, "Q5_0", StorageType::q5_0},
    {7, "Q5_1", StorageType::q5_1},
    {8, "Q8_0", StorageType::q8_0},
    {9, "Q8_1", std::nullopt},
    {10, "Q2_K", StorageType::q2_k},
    {11, "Q3_K", StorageType::q3_k},
    {12, "Q4_K", StorageType::q4_k},
    {13, "Q5_K", StorageType::q5_k},
    {14, "Q6_K", StorageType::q6_k},
    {15, "Q8_K", std::nullopt},
    {16, "IQ2_XXS", StorageType::iq2_xxs},
    {17, "IQ2_XS", StorageType::iq2_xs},
    {18, "IQ3_XXS", StorageType::iq3_xxs},
    {19, "IQ1_S", StorageType::iq1_s},
    {20, "IQ4_NL", StorageType::iq4_nl},
    {21, "IQ3_S", StorageType::iq3_s},
    {22, "IQ2_S", StorageType::iq2_s},
    {23, "IQ4_XS", StorageType::iq4_xs},
    {24, "I8", std::nullopt},
    {25, "I16", std::nullopt},
    {26, "I32", std::nullopt},
    {27, "I64", std::nullopt},
    {28, "F64", std::nullopt},
    {29, "IQ1_M", StorageType::iq1_m},
    {30, "BF16", StorageType::bf16},
    {31, "Q4_0_4_4", std::nullopt},
    {32, "Q4_0_4_8", std::nullopt},
    {33, "Q4_0_8_8", std::nullopt},
    {34, "TQ1_0", StorageType::tq1_0},
    {35, "TQ2_0", StorageType::tq2_0},
    {39, "MXFP4", StorageType::mxfp4},
    {40, "NVFP4", std::nullopt},
    {41, "Q1_0", std::nullopt},
};

const GgmlType* find_type(std::uint32_t number) {
  for (const GgmlType& type : kGgmlTypes) {
    if (type.number == number) return &type;
  }
  return nullptr;
}

}  // namespace

std::size_t min_bytes(GgufValueType type) {
  switch (type) {
    case GgufValueType::u8:
    case GgufValueType::i8:
    case GgufValueType::boolean:
      return 1;
    case GgufValueType::u16:
    case GgufValueType::i16:
      return 2;
    case GgufValueType::u32:
    case GgufValueType::i32:
    case GgufValueType::f32:
      return 4;
    case GgufValueType::u64:
    case GgufValueType::i64:
    case GgufValueType::f64:
    case GgufValueType::string:
      return 8;
    case GgufValueType::array:
      return 12;
  }
  return 0;
}

std::optional<StorageType> storage_from_ggml(std::uint32_t type) {
  const GgmlType* found = find_type(type);
  return found == nullptr ? std::nullopt : found->storage;
}

std::string ggml_type_name(std::uint32_t type) {
  const GgmlType* found = find_type(type);
  return found == nullptr ? "number " + std::to_string(type) : found->name;
}

}  // namespace tovamill
