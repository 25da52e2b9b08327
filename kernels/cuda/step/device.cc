#include "kernels/cuda/step/device.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/device/device.h"
#include "kernels/cuda/gemm/elementwise.h"
#include "kernels/stacked_rows.h"
#include "kernels/types/error.h"

namespace tovamill::cuda {
namespace {

constexpr std::int32_t kMostInFlight = 4;

// What is said to be free cannot always be had in one piece, and another process may have taken of
// it meanwhile: then a little less, down to a half.
std::shared_ptr<Arena> make_arena(int device, std::uint64_t wanted) {
  constexpr int kMostTries = 12;
  check_code();
  for (int i = 1;; ++i) {
    const std::uint64_t n_bytes = arena_bytes(device_facts(device), wanted);
    try {
      return std::make_shared<Arena>(n_bytes);
    } catch (const OutOfMemory&) {
      if (i == kMostTries || n_bytes == 0) throw;
      wanted = n_bytes / 16 * 15;
    }
  }
}

std::string gibibytes(std::uint64_t n_bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GiB",
                static_cast<double>(n_bytes) / (1024.0 * 1024.0 * 1024.0));
  return text;
}

// The device, whose multiprocessors can hold a tile of scores of the model's heads.
int device_for(const BackendOptions& options) {
  const int index = choose_device(options.device_index);
  const DeviceFacts facts = device_facts(index);
  const std::int32_t head_dim = options.shape.head_dim;
  const bool is_bf16 = options.dtype == ComputeType::bf16;
  const std::size_t n_bytes =
      is_bf16 ? score_shared_bytes<Bf16>(head_dim) : score_shared_bytes<float>(head_dim);
  if (n_bytes > facts.block_shared_bytes)
    throw Error(ExitCode::no_device, "--device cuda: heads of " + std::to_string(head_dim) +
                                         " need " + std::to_string(n_bytes >> 10) +
                                         " KiB of shared memory a block, " + facts.name + " has " +
                                         std::to_string(facts.block_shared_bytes >> 10) + "; use " +
                                         (is_bf16 ? "" : "--dtype bf16 or ") + "--device cpu");
  return index;
}

// What the step multiplies by: Q, K and V, output, router, gate and up, down, head.
std::vector<GemmShape> gemm_shapes(const BackendOptions& o, ComputeType type) {
  const ModelShape& s = o.shape;
  std::vector<GemmShape> shapes{
      {.n_out = s.q_size() + 2 * s.kv_size(), .n_in = s.hidden_size},
      {.n_out = s.vocab_size, .n_in = s.hidden_size, .tried_rows = kHeadRows}};
  const auto add = [&](const GemmShape& shape) {
    const auto is_same = [&](const GemmShape& other) {
      return other.n_out == shape.n_out && other.n_in == shape.n_in && other.adds == shape.adds &&
             other.out_type == shape.out_type && other.tried_rows == shape.tried_rows;
    };
    if (std::none_of(shapes.begin(), shapes.end(), is_same)) shapes.push_back(shape);
  };
  for (const LayerShape& l : s.layers) {
    add({.n_out = s.hidden_size, .n_in = s.q_size(), .adds = !l.post_norm});
    if (l.experts.n_experts > 0) add({.n_out = l.experts.n_experts, .n_in = s.hidden_size});
    const std::int32_t inner = s.inner_size(l);
    if (inner == 0) continue;
    add({.n_out = (l.gated ? 2 : 1) * inner, .n_in = s.hidden_size, .out_type = type});
    add({.n_out = s.hidden_size,
         .n_in = inner,
         .adds = !l.post_norm && !l.experts.has_shared_gate});
  }
  return shapes;
}

}  // namespace

DeviceMemory::DeviceMemory(const BackendOptions& options, int device)
    : wanted_bytes(cuda::wanted_bytes(device_facts(device), options.device_bytes)),
      arena(make_arena(device, options.device_bytes)),
      gemm(options.dtype, gemm_shapes(options, options.dtype), *arena) {}

CudaDevice::CudaDevice(const BackendOptions& options)
    : options_(options),
      type_(options.dtype),
      index_(device_for(options)),
      name_(device_facts(index_).name),
      memory_(options.beside != nullptr ? static_cast<CudaDevice*>(options.beside)->memory_
                                        : std::make_shared<DeviceMemory>(options, index_)),
      model_(options, type_),
      in_flight_(std::clamp(options.n_in_flight, 1, kMostInFlight), options, model_, memory_->gemm,
                 *memory_->arena) {}

std::string CudaDevice::description() const {
  const std::size_t n = memory_->gemm.n_padded();
  const Arena& arena = *memory_->arena;
  const bool has_all = arena.size() + Arena::kAlign > memory_->wanted_bytes;
  return "CUDA, " + name_ +
         (has_all ? ""
                  : ", only " + gibibytes(arena.size()) + " of " +
                        gibibytes(memory_->wanted_bytes) + " of its memory could be had") +
         (n > 0 ? ", rows padded in " + std::to_string(n) + " kinds of products" : "");
}

std::unique_ptr<CudaMatrix> CudaDevice::pack_rows(const MatrixSource& source) {
  const StackedRows rows(source);
  const std::string& name = source.parts.front().name;
  auto matrix = std::make_unique<CudaMatrix>();
  matrix->rows = rows.n_rows();
  matrix->cols = rows.n_cols();
  const auto n_rows = static_cast<std::size_t>(matrix->rows);
  const StorageType storage = expanded_to(type_).storage;
  const std::size_t row_bytes =
      bytes_of_elements(storage, static_cast<std::uint64_t>(matrix->cols));
  matrix->weights = memory_->arena->take(n_rows * row_bytes, "tensor " + name);
  if (rows.has_bias())
    matrix->biases = memory_->arena->take(n_rows * sizeof(float), "tensor " + name);
  if (options_.group && !group_) group_ = join_group(*options_.group, share_stream_);
  if (!group_ || group_->reads()) {
    if (!upload_) upload_ = std::make_unique<MatrixUpload>(options_.n_threads);
    // Begins at a page, and rows are whole: aligned for the type.
    const auto write = [&](std::int64_t row, std::byte* out) { rows.read_as(storage, row, out); };
    upload_->send({.name = name, .n_rows = matrix->rows, .row_bytes = row_bytes, .write = write},
                  matrix->weights.data(), stream_);
    if (rows.has_bias()) {
      const std::vector<float> bias = rows.bias();
      to_device(matrix->biases.data(), bias.data(), bias.size() * sizeof(float));
    }
  }
  share(matrix->weights, name);
  if (rows.has_bias()) share(matrix->biases, name);
  return matrix;
}

// What is there on the rank that reads goes to all, while that reads on.
void CudaDevice::share(const ArenaBlock& piece, const std::string& name) {
  if (!group_) return;
  if (group_->reads()) {
    const Event sent;
    sent.record(stream_);
    TOVAMILL_CUDA(cudaStreamWaitEvent(share_stream_.get(), sent.get(), 0));
  }
  group_->broadcast(piece.data(), piece.size(), "tensor " + name);
}

std::unique_ptr<Matrix> CudaDevice::pack(const MatrixSource& source) {
  std::unique_ptr<CudaMatrix> matrix = pack_rows(source);
  if (!is_setting_up_) end_set_up();  // a step may use it at once
  return matrix;
}

void CudaDevice::hold_embedding(const TensorView& embedding) {
  in_flight_.synchronize();  // who reads the one before
  memory_->tables[embedding.data] = pack_rows({.parts = {embedding}});
}

const CudaMatrix& CudaDevice::table(const TensorView& embedding) {
  if (!memory_->tables.contains(embedding.data)) {
    hold_embedding(embedding);
    end_set_up();
  }
  return *memory_->tables.at(embedding.data);
}

void CudaDevice::end_set_up() {
  if (group_) group_->finish();
  group_.reset();
  upload_.reset();
  options_.group.reset();
  is_setting_up_ = false;
  stream_.synchronize();
}

// Gate rows, then up rows: a product gives both side by side.
std::unique_ptr<Matrix> CudaDevice::pack_gated(const GatedSource& source) {
  return pack({.parts = {source.gate, source.up}, .biases = {source.gate_bias, source.up_bias}});
}

// A buffer that is gone may have been read by a step in flight, so memory is taken after it.
std::unique_ptr<Buffer> CudaDevice::make_buffer(std::int32_t n_rows, std::int32_t n_cols,
                                                BufferType type) {
  in_flight_.synchronize();
  auto buffer = std::make_unique<CudaBuffer>();
  buffer->cols = n_cols;
  buffer->type = type == BufferType::full ? ComputeType::f32 : type_;
  buffer->memory =
      memory_->arena->take(static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(n_cols) *
                               element_bytes(buffer->type),
                           "the rows of a step");
  return buffer;
}

void CudaDevice::write_rows(Buffer& buffer, std::int32_t first_row, std::span<const float> rows) {
  const auto& b = static_cast<const CudaBuffer&>(buffer);
  const std::size_t first = static_cast<std::size_t>(first_row) * static_cast<std::size_t>(b.cols);
  in_flight_.order_after(b.last_step, stream_);
  if (std::exchange(b.is_leaving, false)) stream_.wait(*b.sent);
  b.last_step = 0;
  switch (b.type) {
    case ComputeType::f32:
      return to_device(b.as<float>() + first, rows.data(), rows.size_bytes());
    case ComputeType::bf16: {
      std::vector<Bf16> packed(rows.size());
      std::transform(rows.begin(), rows.end(), packed.begin(), to_bf16);
      return to_device(b.as<Bf16>() + first, packed.data(), packed.size() * sizeof(Bf16));
    }
  }
}

void CudaDevice::read_rows(const Buffer& buffer, std::int32_t first_row,
                           std::span<float> rows) const {
  const auto& b = static_cast<const CudaBuffer&>(buffer);
  const std::size_t first = static_cast<std::size_t>(first_row) * static_cast<std::size_t>(b.cols);
  in_flight_.order_after(b.last_step, stream_);
  switch (b.type) {
    case ComputeType::f32:
      return to_host(rows.data(), b.as<float>() + first, rows.size_bytes());
    case ComputeType::bf16: {
      std::vector<Bf16> packed(rows.size());
      to_host(packed.data(), b.as<Bf16>() + first, packed.size() * sizeof(Bf16));
      std::transform(packed.begin(), packed.end(), rows.begin(),
                     [](Bf16 x) { return to_float(x); });
      return;
    }
  }
}

std::unique_ptr<ActivationTransfer> CudaDevice::link_activations(
    const ActivationLinksPlace& place) {
  return make_nccl_transfer(place, index_, in_flight_);
}

// Small things, waited for: what the host has may go.
void CudaDevice::to_device(void* to, const void* from, std::size_t n_bytes) {
  TOVAMILL_CUDA(cudaMemcpyAsync(to, from, n_bytes, cudaMemcpyHostToDevice, stream_.get()));
  stream_.synchronize();
}

void CudaDevice::to_host(void* to, const void* from, std::size_t n_bytes) const {
  TOVAMILL_CUDA(cudaMemcpyAsync(to, from, n_bytes, cudaMemcpyDeviceToHost, stream_.get()));
  stream_.synchronize();
}

const float* CudaDevice::on_device(std::span<const float> values) {
  if (values.empty()) return nullptr;
  ArenaBlock& piece = memory_->vectors[values.data()];
  if (piece.data() == nullptr) {
    piece = memory_->arena->take(values.size_bytes(), "the weights of a norm");
    to_device(piece.data(), values.data(), values.size_bytes());
  }
  return static_cast<const float*>(piece.data());
}

}  // namespace tovamill::cuda
