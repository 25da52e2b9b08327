#include "engine/quantization/quantized_tensors.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "engine/quantization/quantized_rows.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

using Shape = std::vector<std::int64_t>;
using Types = std::initializer_list<StorageType>;
using enum QuantizationMethod;

constexpr std::string_view kWeight = "weight";
constexpr Types kScaleTypes{StorageType::f32, StorageType::f16, StorageType::bf16};
// Of 2^31 numbers at most: products of two do not overflow.
constexpr std::int64_t kMaxSide = std::int64_t{1} << 31;

std::string text_of(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + ")";
}

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// What tensors of a method are called behind "X.": that of the codes, the others.
struct PartNames {
  std::string_view codes;
  std::vector<std::string_view> others;
};

PartNames part_names(const Quantization& quantization) {
  PartNames names;
  switch (quantization.method) {
    case none:
    case mxfp4:
      return {kWeight, {}};
    case fp8:
      names = {kWeight, {"weight_scale_inv"}};
      break;
    case integers:
    case floats:
      names = {kWeight, {"weight_scale", "weight_zero_point"}};
      break;
    case packed:
      names = {"weight_packed",
               {"weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx"}};
      break;
    case gptq:
      return {"qweight", {"qzeros", "scales", "g_idx"}};
    case awq:
      return {"qweight", {"qzeros", "scales"}};
  }
  if (quantization.quantizes_activations) {
    for (const char* name : {"activation_scale", "input_scale", "input_zero_point"})
      names.others.emplace_back(name);
  }
  return names;
}

// One matrix.
class Parts {
 public:
  Parts(const Quantization& quantization,
        const std::function<std::optional<TensorView>(const std::string&)>& find,
        std::string before, const std::string& where)
      : q_(quantization), find_(find), before_(std::move(before)), where_(where) {}

  std::optional<TensorView> find() const {
    const PartNames names = part_names(q_);
    const auto plain = find_(name(kWeight));
    const auto codes = names.codes == kWeight ? plain : find_(name(names.codes));
    if (plain && codes && names.codes != kWeight)
      fail(name(kWeight), "is there beside '" + name(names.codes) + "'");
    if (codes && is_raw(codes->storage)) {
      check_all_but_shape(*codes);
      return view_of(matrix(*codes));
    }
    if (codes && names.codes != kWeight) fail_type(*codes);
    if (!plain) return std::nullopt;
    for (const std::string_view other : names.others) {
      if (find_(name(other)))
        fail(name(other), "belongs to '" + name(kWeight) + "', which is not quantised");
    }
    return plain;
  }

 private:
  std::string name(std::string_view part) const { return before_ + std::string(part); }
  [[noreturn]] void fail(const std::string& tensor, const std::string& problem) const {
    throw BadData(where_ + ": tensor '" + tensor + "' " + problem);
  }
  [[noreturn]] void fail_type(const TensorView& tensor) const {
    fail(tensor.name, "is of the type " + std::string(block_format(tensor.storage).name) +
                          ", which is not supported there");
  }
  void check_type(const TensorView& tensor, Types types) const {
    if (std::find(types.begin(), types.end(), tensor.storage) == types.end()) fail_type(tensor);
  }
  void check_shape(const TensorView& tensor, const Shape& shape) const {
    if (tensor.shape == shape) return;
    fail(tensor.name,
         "has the shape " + text_of(tensor.shape) + " where the others need " + text_of(shape));
  }
  void check_all_but_shape(const TensorView& codes) const {
    if (codes.shape.size() != 2 || codes.shape[0] < 1 || codes.shape[1] < 1 ||
        codes.shape[0] >= kMaxSide || codes.shape[1] >= kMaxSide)
      fail(codes.name, "has the shape " + text_of(codes.shape) + ", which no quantised matrix has");
  }
  TensorView part(std::string_view suffix, Types types) const {
    const auto tensor = find_(name(suffix));
    if (!tensor) fail(name(suffix), "is missing");
    check_type(*tensor, types);
    return *tensor;
  }
  TensorView part(std::string_view suffix, Types types, const Shape& shape) const {
    TensorView tensor = part(suffix, types);
    check_shape(tensor, shape);
    return tensor;
  }

  QuantizedMatrix matrix(const TensorView& codes) const {
    switch (q_.method) {
      case fp8:
      case floats:
        check_type(codes, {StorageType::f8_e4m3});
        return of_values(codes);
      case integers:
        check_type(codes, {StorageType::i8});
        return of_values(codes);
      case packed:
        check_type(codes, {StorageType::i32});
        return of_packed(codes);
      case gptq:
      case awq:
        check_type(codes, {StorageType::i32});
        return of_transposed(codes);
      case none:
      case mxfp4:
        break;
    }
    fail_type(codes);
  }

  // Which scales rows and columns have.
  void set_grid(QuantizedMatrix& m) const {
    m.group_columns = m.n_columns;
    if (q_.scale_of == ScaleOf::group) {
      m.group_columns = q_.group_size;
      if (m.n_columns % q_.group_size != 0)
        fail(m.codes.name, "has rows of " + std::to_string(m.n_columns) + ", no whole groups of " +
                               std::to_string(q_.group_size));
    }
    if (q_.scale_of == ScaleOf::block) {
      m.group_columns = q_.block_columns;
      m.rows_per_scale = q_.block_rows;
    }
    if (q_.scale_of == ScaleOf::tensor) m.rows_per_scale = m.n_rows;
    m.n_groups = ceil_div(m.n_columns, m.group_columns);
  }

  // One for each scale; a column of them, or a single one, in any shape.
  void check_grid(const QuantizedMatrix& m, const TensorView& tensor) const {
    const std::int64_t n = ceil_div(m.n_rows, m.rows_per_scale);
    if (tensor.shape == Shape{n, m.n_groups}) return;
    const bool is_line =
        m.n_groups == 1 && (tensor.shape == Shape{n} || (n == 1 && tensor.shape.empty()));
    if (!is_line) check_shape(tensor, {n, m.n_groups});
  }

  QuantizedMatrix of_values(const TensorView& codes) const {
    QuantizedMatrix m{.n_rows = codes.shape[0], .n_columns = codes.shape[1], .codes = codes};
    set_grid(m);
    if (q_.method == fp8) {
      m.scales =
          q_.scales_are_exponents
              ? part("weight_scale_inv", {StorageType::f32, StorageType::f16, StorageType::bf16,
                                          StorageType::f8_e8m0, StorageType::u8})
              : part("weight_scale_inv", kScaleTypes);
      check_grid(m, m.scales);
      return m;
    }
    m.scales = part("weight_scale", kScaleTypes);
    check_grid(m, m.scales);
    m.rounds_to_scales = true;
    if (q_.has_zeros || find_(name("weight_zero_point"))) {
      m.zeros = part("weight_zero_point", {codes.storage, StorageType::i8});
      check_grid(m, m.zeros);
    }
    return m;
  }

  QuantizedMatrix of_packed(const TensorView& codes) const {
    const Shape shape = shape_of_packed();
    QuantizedMatrix m{.n_rows = shape[0],
                      .n_columns = shape[1],
                      .layout = CodeLayout::packed,
                      .bits = q_.bits,
                      .codes = codes,
                      .rounds_to_scales = true};
    check_shape(codes, {m.n_rows, ceil_div(m.n_columns * q_.bits, 32)});
    set_grid(m);
    m.scales = part("weight_scale", kScaleTypes);
    check_grid(m, m.scales);
    if (q_.has_zeros) {
      m.zeros = part("weight_zero_point", {StorageType::i32},
                     {ceil_div(m.n_rows * q_.bits, 32), m.n_groups});
    } else if (find_(name("weight_zero_point"))) {
      fail(name("weight_zero_point"), "is there, and quantization_config says symmetric");
    }
    set_groups_if_there(m, "weight_g_idx");
    return m;
  }

  // Rows and columns.
  Shape shape_of_packed() const {
    const TensorView tensor = part("weight_shape", {StorageType::i64, StorageType::i32}, {2});
    Shape shape;
    for (std::int64_t i = 0; i < 2; ++i) {
      std::int64_t n = static_cast<std::int32_t>(word_at(tensor, i));
      if (tensor.storage == StorageType::i64) std::memcpy(&n, tensor.data + 8 * i, 8);
      if (n < 1 || n >= kMaxSide) fail(tensor.name, "holds " + std::to_string(n));
      shape.push_back(n);
    }
    return shape;
  }

  QuantizedMatrix of_transposed(const TensorView& codes) const {
    const bool is_gptq = q_.method == gptq;
    const std::int64_t in_word = 32 / q_.bits;
    QuantizedMatrix m{.n_rows = codes.shape[1] * (is_gptq ? 1 : in_word),
                      .n_columns = codes.shape[0] * (is_gptq ? in_word : 1),
                      .layout = is_gptq ? CodeLayout::columns : CodeLayout::rows,
                      .bits = q_.bits,
                      .codes = codes,
                      .zeros_are_less_by_one = q_.zeros_are_less_by_one,
                      .rounds_to_scales = true};
    if (m.n_rows % in_word != 0)
      fail(codes.name, "has " + std::to_string(m.n_rows) + " columns, no multiple of " +
                           std::to_string(in_word));
    set_grid(m);
    m.scales = part("scales", kScaleTypes, {m.n_groups, m.n_rows});
    m.zeros = part("qzeros", {StorageType::i32}, {m.n_groups, m.n_rows / in_word});
    if (is_gptq) set_groups_if_there(m, "g_idx");
    return m;
  }

  void set_groups_if_there(QuantizedMatrix& m, std::string_view suffix) const {
    if (find_(name(suffix))) set_groups(m, suffix);
    if (q_.needs_groups_of_columns && m.group_of_column.data == nullptr)
      fail(name(suffix), "is missing, and quantization_config orders columns by activations");
  }

  void set_groups(QuantizedMatrix& m, std::string_view suffix) const {
    TensorView groups = part(suffix, {StorageType::i32}, {m.n_columns});
    bool all_absent = true;
    for (std::int64_t c = 0; c < m.n_columns; ++c) {
      const auto group = static_cast<std::int32_t>(word_at(groups, c));
      if (group != -1) all_absent = false;
      if (!all_absent && (group < 0 || group >= m.n_groups || word_at(groups, 0) == 0xffffffffu))
        fail(groups.name,
             "holds the group " + std::to_string(group) + " of " + std::to_string(m.n_groups));
    }
    // compressed-tensors: -1 in all of them where there is no order.
    if (all_absent && q_.method != packed)
      fail(groups.name, "holds the group -1 of " + std::to_string(m.n_groups));
    if (!all_absent) m.group_of_column = groups;
  }

  const Quantization& q_;
  const std::function<std::optional<TensorView>(const std::string&)>& find_;
  std::string before_;
  const std::string& where_;
};

}  // namespace

std::optional<TensorView> find_quantized(
    const Quantization& quantization,
    const std::function<std::optional<TensorView>(const std::string&)>& find,
    const std::string& name, const std::string& where) {
  const bool is_quantized = quantization.method != none && quantization.method != mxfp4;
  if (!is_quantized || !name.ends_with("." + std::string(kWeight))) return find(name);
  return Parts(quantization, find, name.substr(0, name.size() - kWeight.size()), where).find();
}

std::string matrix_of_part(const Quantization& quantization, std::string_view part) {
  const std::size_t dot = part.rfind('.');
  if (dot == std::string_view::npos) return "";
  const PartNames names = part_names(quantization);
  const std::string_view suffix = part.substr(dot + 1);
  const bool is_part = suffix != kWeight &&
                       (suffix == names.codes || std::find(names.others.begin(), names.others.end(),
                                                           suffix) != names.others.end());
  return is_part ? std::string(part.substr(0, dot + 1)) + std::string(kWeight) : "";
}

std::uint64_t n_weights_in(const Quantization& quantization, const TensorView& tensor) {
  const auto n = static_cast<std::uint64_t>(tensor.n_elements());
  if (quantization.method == mxfp4 && tensor.storage == StorageType::u8)
    return tensor.name.ends_with("_blocks") ? 2 * n : 0;
  if (matrix_of_part(quantization, tensor.name).empty()) return n;
  const bool is_codes = tensor.name.ends_with("." + std::string(part_names(quantization).codes));
  return is_codes ? n * 32 / static_cast<std::uint64_t>(quantization.bits) : 0;
}

}  // namespace tovamill
