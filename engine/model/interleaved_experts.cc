#include "engine/model/interleaved_experts.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include "kernels/types/error.h"

namespace tovamill {
namespace {

using Find = std::function<std::optional<TensorView>(const std::string&)>;
using Shape = std::vector<std::int64_t>;

std::string shown(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + ")";
}

// A matrix of numbers that stand `row_stride` and `column_stride` apart.
class StridedRows final : public RowReader {
 public:
  StridedRows(TensorView tensor, std::int64_t first, std::int64_t row_stride,
              std::int64_t column_stride, std::int64_t n_cols)
      : tensor_(std::move(tensor)),
        first_(first),
        row_stride_(row_stride),
        column_stride_(column_stride),
        n_cols_(n_cols) {}

  void read(std::int64_t row, float* out) const override {
    const std::int64_t begin = first_ + row * row_stride_;
    for (std::int64_t c = 0; c < n_cols_; ++c) out[c] = at(begin + c * column_stride_);
  }

 private:
  float at(std::int64_t i) const {
    if (tensor_.storage == StorageType::f32) {
      float value;
      std::memcpy(&value, tensor_.data + 4 * i, 4);
      return value;
    }
    std::uint16_t bits;
    std::memcpy(&bits, tensor_.data + 2 * i, 2);
    return tensor_.storage == StorageType::bf16 ? float_from_bf16(bits) : float_from_f16(bits);
  }

  TensorView tensor_;
  std::int64_t first_, row_stride_, column_stride_, n_cols_;
};

// Every `row_stride`-th row of blocks of 32 numbers in four bits (e2m1), two a byte, the lower half
// first, times 2^(scale - 127) of the block (OCP Microscaling Formats 1.0).
class Mxfp4Rows final : public RowReader {
 public:
  Mxfp4Rows(TensorView blocks, TensorView scales, std::int64_t first, std::int64_t row_stride,
            std::int64_t n_blocks)
      : blocks_(std::move(blocks)),
        scales_(std::move(scales)),
        first_(first),
        row_stride_(row_stride),
        n_blocks_(n_blocks) {}

  void read(std::int64_t row, float* out) const override {
    constexpr float kValues[16] = {0,     0.5f,  1,  1.5f,  2,  3,  4,  6,
                                   -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};
    const std::int64_t begin = (first_ + row * row_stride_) * n_blocks_;
    for (std::int64_t b = begin; b < begin + n_blocks_; ++b) {
      const auto exponent = static_cast<int>(std::to_integer<std::uint8_t>(scales_.data[b])) - 127;
      const float scale = std::ldexp(1.0f, exponent);
      for (std::int64_t i = 16 * b; i < 16 * (b + 1); ++i) {
        const auto pair = std::to_integer<std::uint8_t>(blocks_.data[i]);
        *out++ = kValues[pair & 15] * scale;
        *out++ = kValues[pair >> 4] * scale;
      }
    }
  }

 private:
  TensorView blocks_, scales_;
  std::int64_t first_, row_stride_, n_blocks_;
};

// The tensors of a layer, in one of the two forms.
class InterleavedExperts {
 public:
  InterleavedExperts(const Find& find, const std::string& prefix, const ExpertsShape& shape,
                     std::int64_t hidden_size, const std::string& where)
      : find_(find),
        where_(where),
        prefix_(prefix + "mlp.experts."),
        n_(shape.n_experts),
        inner_(shape.intermediate_size),
        hidden_(hidden_size) {
    is_packed_ = find(prefix_ + "gate_up_proj_blocks").has_value();
    for (const char* name : {"gate_up_proj", "down_proj"}) {
      if (is_packed_ && find(prefix_ + name))
        throw BadData(where + ": tensors '" + prefix_ + name + "' and '" + prefix_ + name +
                      "_blocks' are both there");
    }
    gate_up_ = matrix("gate_up_proj", 2 * inner_, hidden_);
    down_ = matrix("down_proj", hidden_, inner_);
    gate_up_bias_ = plain("gate_up_proj_bias", {n_, 2 * inner_});
    down_bias_ = plain("down_proj_bias", {n_, hidden_});
  }

  ExpertTensors expert(std::int64_t e) const {
    return {.gate = rows(gate_up_, e, 0, 2, inner_, hidden_),
            .up = rows(gate_up_, e, 1, 2, inner_, hidden_),
            .down = rows(down_, e, 0, 1, hidden_, inner_),
            .gate_bias = vector(gate_up_bias_, 2 * inner_ * e, 2, inner_),
            .up_bias = vector(gate_up_bias_, 2 * inner_ * e + 1, 2, inner_),
            .down_bias = vector(down_bias_, hidden_ * e, 1, hidden_)};
  }

 private:
  struct Matrices {
    TensorView values, scales;       // of all experts; scales of MXFP4 only
    std::int64_t n_rows, n_columns;  // of one
  };

  TensorView found(const std::string& name, const Shape& shape) const {
    const auto tensor = find_(prefix_ + name);
    if (!tensor) throw BadData(where_ + ": tensor '" + prefix_ + name + "' is missing");
    if (tensor->shape != shape)
      throw BadData(where_ + ": tensor '" + prefix_ + name + "' has the shape " +
                    shown(tensor->shape) + " where the configuration needs " + shown(shape));
    return *tensor;
  }
  void check_type(const TensorView& tensor, bool is_right) const {
    if (is_right) return;
    throw BadData(where_ + ": tensor '" + tensor.name + "' is of the type " +
                  std::string(block_format(tensor.storage).name) +
                  ", which is not supported there");
  }
  TensorView plain(const std::string& name, const Shape& shape) const {
    TensorView tensor = found(name, shape);
    check_type(tensor, tensor.storage == StorageType::f32 || tensor.storage == StorageType::f16 ||
                           tensor.storage == StorageType::bf16);
    return tensor;
  }
  TensorView bytes(const std::string& name, const Shape& shape) const {
    TensorView tensor = found(name, shape);
    check_type(tensor, tensor.storage == StorageType::u8);
    return tensor;
  }
  Matrices matrix(const std::string& name, std::int64_t n_rows, std::int64_t n_columns) const {
    if (!is_packed_) return {plain(name, {n_, n_columns, n_rows}), {}, n_rows, n_columns};
    if (n_columns % 32 != 0)
      throw BadData(where_ + ": rows of " + std::to_string(n_columns) + " of tensor '" + prefix_ +
                    name + "_blocks' are no whole blocks of 32");
    return {bytes(name + "_blocks", {n_, n_rows, n_columns / 32, 16}),
            bytes(name + "_scales", {n_, n_rows, n_columns / 32}), n_rows, n_columns};
  }

  // Every `step`-th row of an expert from `first` on, n_rows of n_columns.
  TensorView rows(const Matrices& m, std::int64_t e, std::int64_t first, std::int64_t step,
                  std::int64_t n_rows, std::int64_t n_columns) const {
    TensorView view{.name = m.values.name,
                    .storage = StorageType::f32,
                    .shape = {n_rows, n_columns},
                    .data = m.values.data};
    if (is_packed_) {
      view.reader = std::make_shared<Mxfp4Rows>(m.values, m.scales, e * m.n_rows + first, step,
                                                n_columns / 32);
    } else {
      view.reader = std::make_shared<StridedRows>(m.values, e * m.n_rows * n_columns + first, step,
                                                  m.n_rows, n_columns);
    }
    return view;
  }
  static TensorView vector(const TensorView& all, std::int64_t first, std::int64_t step,
                           std::int64_t n) {
    TensorView view{.name = all.name, .storage = StorageType::f32, .shape = {n}, .data = all.data};
    view.reader = std::make_shared<StridedRows>(all, first, 0, step, n);
    return view;
  }

  const Find& find_;
  const std::string& where_;
  std::string prefix_;
  std::int64_t n_, inner_, hidden_;
  bool is_packed_ = false;
  Matrices gate_up_, down_;
  TensorView gate_up_bias_, down_bias_;
};

}  // namespace

std::vector<ExpertTensors> interleaved_experts(const Find& find, const std::string& prefix,
                                               const ExpertsShape& shape, std::int64_t hidden_size,
                                               const std::string& where) {
  const InterleavedExperts all(find, prefix, shape, hidden_size, where);
  std::vector<ExpertTensors> experts;
  for (std::int32_t e = 0; e < shape.n_experts; ++e) experts.push_back(all.expert(e));
  return experts;
}

std::vector<std::string> interleaved_expert_names() {
  std::vector<std::string> names;
  for (const char* matrix : {"gate_up_proj", "down_proj"}) {
    for (const char* part : {"", "_blocks", "_scales", "_bias"})
      names.push_back(std::string("mlp.experts.") + matrix + part);
  }
  return names;
}

}  // namespace tovamill
