#include "kernels/cuda/backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "kernels/cuda/device.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/error.h"
#include "kernels/stacked_rows.h"

namespace tovamill {

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options) {
  if (options.dtype != "auto" && options.dtype != "bf16" && options.dtype != "f32") {
    throw Error(ExitCode::usage,
                "--dtype '" + options.dtype + "' is not known: choose one of auto, bf16, f32");
  }
  return std::make_unique<cuda::CudaBackend>(
      options, options.dtype == "f32" ? cuda::ElementType::f32 : cuda::ElementType::bf16);
}

}  // namespace tovamill

namespace tovamill::cuda {
namespace {

constexpr std::int32_t kHeadRows = 512;          // whose logits exist at one time
constexpr std::size_t kUploadBytes = 16u << 20;  // of a matrix at a time

CudaBuffer& cast(Buffer& b) { return static_cast<CudaBuffer&>(b); }
const CudaMatrix& cast(const Matrix& m) { return static_cast<const CudaMatrix&>(m); }

}  // namespace

CudaBackend::CudaBackend(const BackendOptions& options, ElementType type)
    : options_(options), type_(type), device_(choose_device(options.device_index)) {
  const DeviceFacts facts = device_facts(device_);
  device_name_ = facts.name;
  arena_ = std::make_shared<Arena>(arena_bytes(facts, options.device_bytes));
  const auto rows = static_cast<std::size_t>(options.max_rows);
  const ModelShape& shape = options_.shape;
  products_ = std::make_unique<Products>(type, options.max_rows, *arena_);
  attention_ = std::make_unique<Attention>(options_, type, *arena_, stream_);
  gate_up_ = arena_->take(
      rows * 2 * static_cast<std::size_t>(shape.intermediate_size) * element_bytes(type),
      "gate and up projections");
  const auto head_rows = static_cast<std::size_t>(std::min(kHeadRows, options.max_rows));
  logits_ = arena_->take(head_rows * static_cast<std::size_t>(shape.vocab_size) * sizeof(float),
                         "logits");
  gathered_ =
      arena_->take(head_rows * static_cast<std::size_t>(shape.hidden_size) * element_bytes(type),
                   "the rows whose logits are read");
  ids_ = arena_->take(rows * sizeof(std::int32_t), "tokens");
  targets_ = arena_->take(rows * sizeof(std::int32_t), "targets");
  nll_ = arena_->take(rows * sizeof(float), "likelihoods");
  host_rows_ = PinnedMemory(2 * rows * sizeof(std::int32_t));
  host_nll_ = PinnedMemory(rows * sizeof(float));
  staged_.record(stream_);
}

CudaBackend::~CudaBackend() = default;

std::string CudaBackend::description() const { return "CUDA, " + device_name_; }

// ---- set-up

// Through page-locked memory in two halves: one is filled while the other is copied.
std::unique_ptr<CudaMatrix> CudaBackend::pack_rows(std::int32_t n_out, std::int32_t n_in,
                                                   bool has_bias, RowSource source,
                                                   const void* context, const std::string& name) {
  auto matrix = std::make_unique<CudaMatrix>();
  matrix->rows = n_out;
  matrix->cols = n_in;
  const std::size_t row_bytes = static_cast<std::size_t>(n_in) * element_bytes(type_);
  matrix->weights = arena_->take(static_cast<std::size_t>(n_out) * row_bytes, "tensor " + name);
  if (has_bias)
    matrix->biases =
        arena_->take(static_cast<std::size_t>(n_out) * sizeof(float), "tensor " + name);
  const auto part = static_cast<std::int32_t>(std::max<std::size_t>(1, kUploadBytes / row_bytes));
  const PinnedMemory halves[2] = {
      PinnedMemory(static_cast<std::size_t>(std::min(part, n_out)) * row_bytes),
      PinnedMemory(static_cast<std::size_t>(std::min(part, n_out)) * row_bytes)};
  Event copied[2];
  const int n_threads = std::max(1, options_.n_threads);
  for (std::int32_t first = 0, half = 0; first < n_out; first += part, half = 1 - half) {
    const std::int32_t n = std::min(part, n_out - first);
    if (first >= 2 * part) copied[half].synchronize();
    std::byte* to = halves[half].data();
    const auto fill = [&](int thread) {
      std::vector<float> row(static_cast<std::size_t>(n_in));
      for (std::int32_t r = thread; r < n; r += n_threads) {
        source(context, first + r, row.data());
        std::byte* at = to + static_cast<std::size_t>(r) * row_bytes;
        if (type_ == ElementType::f32) {
          std::memcpy(at, row.data(), row_bytes);
        } else {
          for (std::int32_t i = 0; i < n_in; ++i) {
            const std::uint16_t bits = bf16_from_float(row[static_cast<std::size_t>(i)]);
            std::memcpy(at + 2 * static_cast<std::size_t>(i), &bits, 2);
          }
        }
      }
    };
    std::vector<std::thread> others;
    for (int t = 1; t < n_threads; ++t) others.emplace_back(fill, t);
    fill(0);
    for (std::thread& t : others) t.join();
    check(cudaMemcpyAsync(static_cast<std::byte*>(matrix->weights.data()) +
                              static_cast<std::size_t>(first) * row_bytes,
                          to, static_cast<std::size_t>(n) * row_bytes, cudaMemcpyHostToDevice,
                          stream_.get()),
          "cudaMemcpyAsync", "tensor " + name);
    copied[half].record(stream_);
  }
  stream_.synchronize();
  return matrix;
}

void CudaBackend::upload_bias(CudaMatrix& matrix, const std::vector<float>& bias) {
  to_device(matrix.biases.data(), bias.data(), bias.size() * sizeof(float));
}

std::unique_ptr<Matrix> CudaBackend::pack(const MatrixSource& source) {
  const StackedRows rows(source);
  auto matrix = pack_rows(rows.n_rows(), rows.n_cols(), rows.has_bias(), StackedRows::read, &rows,
                          source.parts.front().name);
  if (rows.has_bias()) upload_bias(*matrix, rows.bias());
  return matrix;
}

// Gate rows, then up rows: a product gives both side by side.
std::unique_ptr<Matrix> CudaBackend::pack_gated(const TensorView& gate, const TensorView& up) {
  MatrixSource source;
  source.parts = {gate, up};
  return pack(source);
}

std::unique_ptr<Buffer> CudaBackend::make_buffer(std::int32_t n_rows, std::int32_t n_cols,
                                                 BufferType type) {
  auto buffer = std::make_unique<CudaBuffer>();
  buffer->cols = n_cols;
  buffer->type = type == BufferType::full ? ElementType::f32 : type_;
  buffer->memory = arena_->take(static_cast<std::size_t>(n_rows) *
                                    static_cast<std::size_t>(n_cols) * element_bytes(buffer->type),
                                "the rows of a step");
  return buffer;
}

void CudaBackend::write_rows(Buffer& buffer, std::int32_t first_row, std::span<const float> rows) {
  const CudaBuffer& b = cast(buffer);
  const std::size_t first = static_cast<std::size_t>(first_row) * static_cast<std::size_t>(b.cols);
  if (b.type == ElementType::f32)
    return to_device(b.as<float>() + first, rows.data(), rows.size_bytes());
  std::vector<Bf16> packed(rows.size());
  std::transform(rows.begin(), rows.end(), packed.begin(), to_bf16);
  to_device(b.as<Bf16>() + first, packed.data(), packed.size() * sizeof(Bf16));
}

void CudaBackend::read_rows(const Buffer& buffer, std::int32_t first_row,
                            std::span<float> rows) const {
  const auto& b = static_cast<const CudaBuffer&>(buffer);
  const std::size_t first = static_cast<std::size_t>(first_row) * static_cast<std::size_t>(b.cols);
  if (b.type == ElementType::f32)
    return to_host(rows.data(), b.as<float>() + first, rows.size_bytes());
  std::vector<Bf16> packed(rows.size());
  to_host(packed.data(), b.as<Bf16>() + first, packed.size() * sizeof(Bf16));
  std::transform(packed.begin(), packed.end(), rows.begin(), [](Bf16 x) { return to_float(x); });
}

std::unique_ptr<StreamState> CudaBackend::make_state() {
  auto state = std::make_unique<CudaState>();
  attention_->resize(*state, attention_->capacity(0, false));
  return state;
}

std::uint64_t CudaBackend::state_bytes() const {
  return state_bytes_for(options_.cache.chunk_tokens > 0 ? options_.cache.chunk_tokens
                                                         : options_.shape.trained_context,
                         false);
}

std::uint64_t CudaBackend::state_bytes_for(std::int64_t n_tokens, bool keeps_all) const {
  const StateLayout& layout = attention_->layout();
  return static_cast<std::uint64_t>(layout.layer_bytes(attention_->capacity(n_tokens, keeps_all))) *
         static_cast<std::uint64_t>(layout.n_layers);
}

std::uint64_t CudaBackend::workspace_bytes() const {
  return attention_->workspace_bytes() + products_->workspace_bytes() + gate_up_.size() +
         logits_.size() + gathered_.size() + ids_.size() + targets_.size() + nll_.size();
}

std::uint64_t CudaBackend::workspace_bytes_for(std::int64_t n_tokens, bool keeps_all) const {
  return workspace_bytes() - attention_->workspace_bytes() +
         attention_->workspace_bytes_for(n_tokens, keeps_all);
}

// Small things, waited for: what the host has may go.
void CudaBackend::to_device(void* to, const void* from, std::size_t n_bytes) {
  TOVAMILL_CUDA(cudaMemcpyAsync(to, from, n_bytes, cudaMemcpyHostToDevice, stream_.get()));
  stream_.synchronize();
}

void CudaBackend::to_host(void* to, const void* from, std::size_t n_bytes) const {
  TOVAMILL_CUDA(cudaMemcpyAsync(to, from, n_bytes, cudaMemcpyDeviceToHost, stream_.get()));
  stream_.synchronize();
}

// A vector of the model, which stays where it is on the host, and is sent once.
const float* CudaBackend::on_device(std::span<const float> values) {
  if (values.empty()) return nullptr;
  ArenaPiece& piece = vectors_[values.data()];
  if (piece.data() == nullptr) {
    piece = arena_->take(values.size_bytes(), "the weights of a norm");
    to_device(piece.data(), values.data(), values.size_bytes());
  }
  return static_cast<const float*>(piece.data());
}

// ---- the step

// Rows of blocks of one token, rows of longer ones, in runs. Rows of no block are as of long ones.
void CudaBackend::cut_segments(std::span<const StepBlock> blocks, std::int32_t n_rows) {
  std::vector<RowKind> kinds(static_cast<std::size_t>(n_rows), RowKind::many);
  for (const StepBlock& b : blocks) {
    if (b.n_tokens == 1) kinds[static_cast<std::size_t>(b.first_row)] = RowKind::single;
  }
  segments_.clear();
  for (std::int32_t r = 0; r < n_rows; ++r) {
    const RowKind kind = kinds[static_cast<std::size_t>(r)];
    if (segments_.empty() || segments_.back().kind != kind) segments_.push_back({r, 0, kind});
    ++segments_.back().n_rows;
  }
}

void CudaBackend::begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows) {
  attention_->begin_step(blocks, n_rows);
  n_rows_ = n_rows;
  promised_events_.clear();
  promised_nll_ = {};
  cut_segments(blocks, n_rows);
}

void CudaBackend::embed(std::span<const std::int32_t> ids, const TensorView& embedding,
                        Buffer& out) {
  if (table_source_ != embedding.data) {
    table_ = pack_rows(
        static_cast<std::int32_t>(embedding.n_rows()),
        static_cast<std::int32_t>(embedding.n_cols()), false,
        [](const void* context, std::int64_t row, float* to) {
          dequantize_row(*static_cast<const TensorView*>(context), row, to);
        },
        &embedding, embedding.name);
    table_source_ = embedding.data;
  }
  staged_.synchronize();
  std::memcpy(host_rows_.data(), ids.data(), ids.size_bytes());
  TOVAMILL_CUDA(cudaMemcpyAsync(ids_.data(), host_rows_.data(), ids.size_bytes(),
                                cudaMemcpyHostToDevice, stream_.get()));
  staged_.record(stream_);
  const auto* device_ids = static_cast<const std::int32_t*>(ids_.data());
  if (type_ == ElementType::bf16) {
    embed_rows(device_ids, static_cast<const Bf16*>(table_->weights.data()), table_->cols,
               cast(out).as<float>(), n_rows_, stream_);
  } else {
    embed_rows(device_ids, static_cast<const float*>(table_->weights.data()), table_->cols,
               cast(out).as<float>(), n_rows_, stream_);
  }
}

void CudaBackend::rms_norm(const Buffer& x, std::span<const float> weight, Buffer& out) {
  const auto n = static_cast<std::int32_t>(weight.size());
  const float* w = on_device(weight);
  const float eps = options_.shape.rms_norm_eps;
  if (type_ == ElementType::bf16) {
    rms_norm_rows(row<float>(x, 0), w, n, eps, cast(out).as<Bf16>(), n_rows_, stream_);
  } else {
    rms_norm_rows(row<float>(x, 0), w, n, eps, cast(out).as<float>(), n_rows_, stream_);
  }
}

void CudaBackend::multiply(const Buffer& x, const CudaMatrix& w, void* out, ElementType out_type,
                           bool adds) {
  const std::size_t in_bytes = static_cast<std::size_t>(w.cols) * element_bytes(type_),
                    out_bytes = static_cast<std::size_t>(w.rows) * element_bytes(out_type);
  for (const Segment& s : segments_) {
    const auto first = static_cast<std::size_t>(s.first);
    products_->multiply(w.operand(), row<std::byte>(x, 0) + first * in_bytes, s.n_rows, s.kind,
                        static_cast<std::byte*>(out) + first * out_bytes, out_type, adds, stream_);
  }
}

void CudaBackend::project(const Buffer& x, const Matrix& w, Buffer& out) {
  const CudaMatrix& m = cast(w);
  multiply(x, m, cast(out).as<float>(), ElementType::f32, false);
  if (m.bias() != nullptr) add_bias(cast(out).as<float>(), m.bias(), m.rows, n_rows_, stream_);
}

void CudaBackend::project_add(const Buffer& x, const Matrix& w, Buffer& hidden) {
  const CudaMatrix& m = cast(w);
  multiply(x, m, cast(hidden).as<float>(), ElementType::f32, true);
  if (m.bias() != nullptr) add_bias(cast(hidden).as<float>(), m.bias(), m.rows, n_rows_, stream_);
}

void CudaBackend::project_gated(const Buffer& x, const Matrix& gate_up, Buffer& out) {
  const CudaMatrix& m = cast(gate_up);
  multiply(x, m, gate_up_.data(), type_, false);
  if (type_ == ElementType::bf16) {
    gate_rows(static_cast<const Bf16*>(gate_up_.data()), m.rows / 2, cast(out).as<Bf16>(), n_rows_,
              stream_);
  } else {
    gate_rows(static_cast<const float*>(gate_up_.data()), m.rows / 2, cast(out).as<float>(),
              n_rows_, stream_);
  }
}

void CudaBackend::attend(std::int32_t layer, const AttentionWeights& weights, Buffer& qkv,
                         Buffer& out, std::span<BlockEvents> events) {
  attention_->run(layer, on_device(weights.q_norm), on_device(weights.k_norm),
                  cast(qkv).as<float>(), cast(out).memory.data());
  promised_events_.emplace_back(layer, events);
}

void CudaBackend::target_nll(const Buffer& x, const Matrix& head,
                             std::span<const std::int32_t> targets, std::span<float> nll) {
  const CudaMatrix& w = cast(head);
  const auto n_rows = static_cast<std::int32_t>(targets.size());
  staged_.synchronize();
  std::byte* host = host_rows_.data() + host_rows_.size() / 2;
  std::memcpy(host, targets.data(), targets.size_bytes());
  TOVAMILL_CUDA(cudaMemcpyAsync(targets_.data(), host, targets.size_bytes(), cudaMemcpyHostToDevice,
                                stream_.get()));
  staged_.record(stream_);
  auto* logits = static_cast<float*>(logits_.data());
  for (const Segment& s : segments_) {
    for (std::int32_t first = s.first; first < std::min(n_rows, s.first + s.n_rows);
         first += kHeadRows) {
      const std::int32_t n = std::min(kHeadRows, std::min(n_rows, s.first + s.n_rows) - first);
      const std::size_t in_bytes = static_cast<std::size_t>(w.cols) * element_bytes(type_);
      products_->multiply(w.operand(),
                          row<std::byte>(x, 0) + static_cast<std::size_t>(first) * in_bytes, n,
                          s.kind, logits, ElementType::f32, false, stream_);
      if (w.bias() != nullptr) add_bias(logits, w.bias(), w.rows, n, stream_);
      nll_rows(logits, static_cast<const std::int32_t*>(targets_.data()) + first, w.rows,
               static_cast<float*>(nll_.data()) + first, n, stream_);
    }
  }
  TOVAMILL_CUDA(cudaMemcpyAsync(host_nll_.data(), nll_.data(), targets.size() * sizeof(float),
                                cudaMemcpyDeviceToHost, stream_.get()));
  promised_nll_ = nll.first(targets.size());
}

void CudaBackend::finish_step() {
  if (!promised_events_.empty()) attention_->fetch_events();
  stream_.synchronize();
  for (const auto& [layer, events] : promised_events_) {
    for (std::size_t b = 0; b < events.size(); ++b) attention_->read_events(layer, b, events[b]);
  }
  if (!promised_nll_.empty())
    std::memcpy(promised_nll_.data(), host_nll_.data(), promised_nll_.size_bytes());
  promised_events_.clear();
  promised_nll_ = {};
  attention_->finish_step();
}

// The wanted rows side by side; each is multiplied as a row of its kind is.
void CudaBackend::read_logits(const Buffer& x, const Matrix& head,
                              std::span<const std::int32_t> rows, std::span<float> logits) {
  const CudaMatrix& w = cast(head);
  const auto kind_of = [&](std::int32_t r) {
    for (const Segment& s : segments_) {
      if (r >= s.first && r < s.first + s.n_rows) return s.kind;
    }
    return RowKind::many;
  };
  const auto most = static_cast<std::size_t>(std::min(kHeadRows, options_.max_rows));
  const auto n_vocab = static_cast<std::size_t>(w.rows);
  for (std::size_t begin = 0; begin < rows.size();) {
    const RowKind kind = kind_of(rows[begin]);
    std::size_t end = begin + 1;
    while (end < rows.size() && end - begin < most && kind_of(rows[end]) == kind) ++end;
    const auto n = static_cast<std::int32_t>(end - begin);
    to_device(targets_.data(), rows.data() + begin, (end - begin) * sizeof(std::int32_t));
    const auto* which = static_cast<const std::int32_t*>(targets_.data());
    if (type_ == ElementType::bf16) {
      gather_rows(row<Bf16>(x, 0), which, w.cols, static_cast<Bf16*>(gathered_.data()), n, stream_);
    } else {
      gather_rows(row<float>(x, 0), which, w.cols, static_cast<float*>(gathered_.data()), n,
                  stream_);
    }
    auto* product = static_cast<float*>(logits_.data());
    products_->multiply(w.operand(), gathered_.data(), n, kind, product, ElementType::f32, false,
                        stream_);
    if (w.bias() != nullptr) add_bias(product, w.bias(), w.rows, n, stream_);
    const std::size_t n_bytes = (end - begin) * n_vocab * sizeof(float);
    if (host_logits_.size() < n_bytes) host_logits_ = PinnedMemory(n_bytes);
    TOVAMILL_CUDA(cudaMemcpyAsync(host_logits_.data(), product, n_bytes, cudaMemcpyDeviceToHost,
                                  stream_.get()));
    stream_.synchronize();
    std::memcpy(logits.data() + begin * n_vocab, host_logits_.data(), n_bytes);
    begin = end;
  }
}

// ---- states

void CudaBackend::reset(StreamState& state) {
  auto& s = static_cast<CudaState&>(state);
  s.n_held = s.n_tokens = s.rotation = s.group_base = 0;
  s.pin = 0;
  if (is_bounded(options_.cache)) attention_->resize(s, attention_->capacity(0, false));
}

void CudaBackend::reserve(StreamState& state, std::int64_t n_tokens, bool keeps_all) {
  auto& s = static_cast<CudaState&>(state);
  attention_->resize(s, std::max(s.capacity, attention_->capacity(n_tokens, keeps_all)));
}

void CudaBackend::copy(const StreamState& from, StreamState& to) {
  attention_->copy(static_cast<const CudaState&>(from), static_cast<CudaState&>(to));
}

std::int64_t CudaBackend::n_tokens(const StreamState& state) const {
  return static_cast<const CudaState&>(state).n_tokens;
}

std::vector<std::int32_t> CudaBackend::read_positions(const StreamState& state, std::int32_t layer,
                                                      std::int32_t group) const {
  const auto& s = static_cast<const CudaState&>(state);
  std::vector<std::int32_t> positions(static_cast<std::size_t>(s.n_held));
  const LayerView view(s.data(), attention_->layout(), s.capacity, layer);
  TOVAMILL_CUDA(cudaMemcpyAsync(positions.data(), view.positions(group),
                                positions.size() * sizeof(std::int32_t), cudaMemcpyDeviceToHost,
                                stream_.get()));
  stream_.synchronize();
  std::sort(positions.begin(), positions.end());
  return positions;
}

}  // namespace tovamill::cuda
