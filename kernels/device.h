// What a backend computes on: memory for weights and for the rows of a step. All of it is set up
// before the first step; the steps themselves are backend.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/activation_transfer.h"
#include "kernels/types/model_shape.h"
#include "kernels/types/tensor.h"

namespace tovamill {

// A weight matrix in the device's own layout: out_features x in_features as in the file, plus its
// bias if it has one.
class Matrix {
 public:
  virtual ~Matrix() = default;
  virtual std::int32_t n_out() const = 0;
  virtual std::int32_t n_in() const = 0;
  virtual std::uint64_t n_bytes() const = 0;
};

// The experts of a layer in the device's own layout.
class Experts {
 public:
  virtual ~Experts() = default;
  virtual std::uint64_t n_bytes() const = 0;
};

// Activations of one step: (n_rows, n_cols), row-major, in memory of the device.
class Buffer {
 public:
  virtual ~Buffer() = default;
};

// How a buffer's elements are kept.
enum class BufferType : std::uint8_t {
  full,     // float32 (reference: float64): residuals, projections before the softmax
  compute,  // the compute type, which matrix products read
};

class Device {
 public:
  virtual ~Device() = default;
  virtual std::string description() const = 0;  // "CPU, AVX-512, 2 threads"
  virtual std::string dtype_name() const = 0;   // for people and files: "bf16", "f32", "f64"
  virtual int n_threads() const = 0;
  // Rows of a step are padded to multiples of this (kernels/README.md, "Reproducibility").
  virtual std::int32_t row_tile() const = 0;
  // Bytes of the device's memory that buffers and states may still take; none where they are in the
  // host's.
  virtual std::optional<std::uint64_t> device_bytes_left() const { return std::nullopt; }

  // Stacks `parts` (each (rows, n_in)) and their biases (parallel to parts, or empty) in the
  // device's layout. Rows of parts marked in `rotated` (parallel to parts, or empty) are heads of
  // queries or keys, which `rotary` brings into the order of RotaryLayout.
  struct MatrixSource {
    std::vector<TensorView> parts;
    std::vector<TensorView> biases = {};
    std::vector<bool> rotated = {};
    RotaryLayout rotary = {};
    std::int32_t head_dim = 0;  // of rotated parts
  };
  virtual std::unique_ptr<Matrix> pack(const MatrixSource& source) = 0;
  // Gate and up projections for Backend::project_gated.
  struct GatedSource {
    TensorView gate, up;
    TensorView gate_bias = {}, up_bias = {};
  };
  virtual std::unique_ptr<Matrix> pack_gated(const GatedSource& source) = 0;
  // Of Backend::add_experts, which are alike in shape. The views' files are read while packing
  // only.
  virtual std::unique_ptr<Experts> pack_experts(std::span<const ExpertTensors> experts) = 0;
  // Brings the embedding to where Backend::embed reads it; without this the first `embed` does.
  virtual void hold_embedding(const TensorView&) {}
  // All weights are there: what only their way needs is given back. Throws NcclGroupError where
  // they did not come.
  virtual void end_set_up() {}
  virtual std::unique_ptr<Buffer> make_buffer(std::int32_t n_rows, std::int32_t n_cols,
                                              BufferType type) = 0;
  // Rows of a buffer, from `first_row` on, as float32: dense (n, n_cols), whatever the type. Both
  // wait for what is in flight.
  virtual void write_rows(Buffer& buffer, std::int32_t first_row, std::span<const float> rows) = 0;
  virtual void read_rows(const Buffer& buffer, std::int32_t first_row,
                         std::span<float> rows) const = 0;
  // Links to the devices of the stages before and behind, made by all of them at once; null where
  // rows go by way of the host only. Throws NcclGroupError where a link does not come about,
  // StageLost where the line is closed meanwhile, OutOfMemory. The transfer must go before this.
  virtual std::unique_ptr<ActivationTransfer> link_activations(const ActivationLinksPlace&) {
    return nullptr;
  }
};

}  // namespace tovamill
