// The step of the CUDA backend: calls become what a lane runs.
#include "kernels/cuda/step/backend.h"
#include "kernels/types/tensor.h"

namespace tovamill {

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options) {
  return std::make_unique<cuda::CudaBackend>(options);
}

}  // namespace tovamill

namespace tovamill::cuda {
namespace {

const CudaMatrix& cast(const Matrix& m) { return static_cast<const CudaMatrix&>(m); }
const CudaBuffer& cast(const Buffer& b) { return static_cast<const CudaBuffer&>(b); }

BackendOptions fitted(BackendOptions options) {
  options.cache = fitted_to_windows(options.cache, options.shape);
  return options;
}

}  // namespace

CudaBackend::CudaBackend(const BackendOptions& options)
    : options_(fitted(options)),
      type_(options.dtype),
      device_(options),
      model_(device_.model()),
      in_flight_(device_.in_flight()),
      states_(std::make_shared<CudaStatePool>(model_, in_flight_, device_.arena())) {}

void* CudaBackend::used(const Buffer& buffer) {
  const CudaBuffer& b = cast(buffer);
  InFlightStep& in_flight = in_flight_.newest();
  if (b.is_leaving && b.last_step != in_flight.step()) {
    in_flight.wait(*b.sent);
    b.is_leaving = false;
  }
  b.last_step = in_flight.step();
  return b.memory.data();
}

void CudaBackend::begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows) {
  if (device_.is_setting_up()) device_.end_set_up();
  states_->prepare(blocks);
  in_flight_.begin(blocks, n_rows);
}

void CudaBackend::embed(std::span<const std::int32_t> ids, const TensorView& embedding,
                        float factor, Buffer& out) {
  const CudaMatrix& table = device_.table(embedding);
  InFlightStep& in_flight = in_flight_.newest();
  in_flight.set_ids(ids);
  in_flight.issue({.kind = Call::Kind::embed,
                   .n_out = table.cols,
                   .weights = table.weights.data(),
                   .factor = factor,
                   .out = used(out)});
}

void CudaBackend::scale(Buffer& x, float factor) {
  const std::int32_t n = cast(x).cols;
  in_flight_.newest().issue({.kind = Call::Kind::scale,
                             .n_in = n,
                             .n_out = n,
                             .in = used(x),
                             .factor = factor,
                             .n_columns = n,
                             .out = used(x)});
}

void CudaBackend::copy_columns(const Buffer& from, std::int32_t from_first, Buffer& to,
                               std::int32_t to_first, std::int32_t n) {
  in_flight_.newest().issue({.kind = Call::Kind::copy,
                             .n_in = cast(from).cols,
                             .n_out = cast(to).cols,
                             .in = used(from),
                             .n_columns = n,
                             .first = from_first,
                             .first_out = to_first,
                             .out = used(to)});
}

void CudaBackend::multiply_columns(Buffer& x, const Buffer& by, std::int32_t first) {
  in_flight_.newest().issue({.kind = Call::Kind::multiply,
                             .n_in = cast(by).cols,
                             .n_out = cast(x).cols,
                             .in = used(by),
                             .first = first,
                             .out = used(x)});
}

void CudaBackend::issue_norm(const Buffer& x, const NormWeights& weights, bool adds, Buffer& out) {
  in_flight_.newest().issue(
      {.kind = Call::Kind::norm,
       .adds = adds,
       .n_out = static_cast<std::int32_t>(weights.weight.size()),
       .in = used(x),
       .weights = device_.on_device(weights.weight),
       .bias = device_.on_device(weights.bias),
       .factor = weights.eps_factor,
       .parts = cast(x).cols / static_cast<std::int32_t>(weights.weight.size()),
       .out = used(out)});
}

void CudaBackend::norm(const Buffer& x, const NormWeights& weights, Buffer& out) {
  issue_norm(x, weights, false, out);
}

void CudaBackend::norm_add(const Buffer& x, const NormWeights& weights, Buffer& hidden) {
  issue_norm(x, weights, true, hidden);
}

void CudaBackend::convert(const Buffer& x, Buffer& out) {
  in_flight_.newest().issue({.kind = Call::Kind::convert,
                             .n_out = options_.shape.hidden_size,
                             .in = used(x),
                             .out = used(out)});
}

void CudaBackend::issue_gemm(Call call, const Buffer& x, const Matrix& w, Buffer& out) {
  const CudaMatrix& m = cast(w);
  call.n_in = m.cols;
  call.n_out = m.rows;
  call.in = used(x);
  call.weights = m.weights.data();
  call.bias = m.bias();
  call.out = used(out);
  in_flight_.newest().issue(call);
}

void CudaBackend::project(const Buffer& x, const Matrix& w, Buffer& out) {
  issue_gemm({.kind = Call::Kind::project}, x, w, out);
}

void CudaBackend::project_add(const Buffer& x, const Matrix& w, Buffer& hidden) {
  issue_gemm({.kind = Call::Kind::project, .adds = true}, x, w, hidden);
}

void CudaBackend::project_gated(const Buffer& x, const Matrix& gate_up, Activation activation,
                                Buffer& out) {
  issue_gemm({.kind = Call::Kind::activate, .is_gated = true, .activation = activation}, x, gate_up,
             out);
}

void CudaBackend::project_activated(const Buffer& x, const Matrix& up, Activation activation,
                                    const Xielu& xielu, Buffer& out) {
  issue_gemm({.kind = Call::Kind::activate, .activation = activation, .xielu = xielu}, x, up, out);
}

void CudaBackend::add_experts(const Buffer& x, const Matrix& router, const Experts& experts,
                              const LayerShape& layer, Buffer& hidden) {
  const auto& all = static_cast<const CudaExperts&>(experts);
  const CudaMatrix &gate_up = cast(*all.gate_up), &down = cast(*all.down);
  issue_gemm({.kind = Call::Kind::experts,
              .activation = layer.activation,
              .experts = {.shape = layer.experts,
                          .gate_up = gate_up.weights.data(),
                          .down = down.weights.data(),
                          .gate_up_bias = gate_up.bias(),
                          .down_bias = down.bias()}},
             x, router, hidden);
}

void CudaBackend::add_weighted(const Buffer& y, const Buffer& x, std::span<const float> gate,
                               Buffer& hidden) {
  in_flight_.newest().issue({.kind = Call::Kind::weigh,
                             .n_out = options_.shape.hidden_size,
                             .in = used(y),
                             .also_in = used(x),
                             .weights = device_.on_device(gate),
                             .out = used(hidden)});
}

void CudaBackend::attend(std::int32_t layer, const AttentionWeights& weights, Buffer& qkv,
                         Buffer& out, std::span<BlockEvents> events) {
  InFlightStep& in_flight = in_flight_.newest();
  in_flight.issue({.kind = Call::Kind::attend,
                   .layer = layer,
                   .in = used(qkv),
                   .of_rows = {.q_norm = device_.on_device(weights.q_norm),
                               .k_norm = device_.on_device(weights.k_norm),
                               .v_norm = device_.on_device(weights.v_norm),
                               .q_factor = device_.on_device(weights.q_factor)},
                   .sinks = device_.on_device(weights.sinks),
                   .out = used(out)});
  in_flight.request_events(layer, events);
}

void CudaBackend::target_nll(const Buffer& x, const Matrix& head,
                             std::span<const std::int32_t> targets, std::span<float> nll) {
  used(x);
  in_flight_.newest().target_nll(cast(x), cast(head), targets, nll);
}

void CudaBackend::finish_step() {
  if (const StepNumber step = in_flight_.finish(); step != 0) states_->finish(step);
}

// The lane of the step that wrote x; of rows that the host wrote, the last one's.
InFlightStep& CudaBackend::in_flight_of(const Buffer& x) {
  InFlightStep* in_flight = in_flight_.of(cast(x).last_step);
  return in_flight != nullptr ? *in_flight : in_flight_.newest();
}

void CudaBackend::read_logits(const Buffer& x, const Matrix& head,
                              std::span<const std::int32_t> rows, std::span<float> logits) {
  in_flight_of(x).read_logits(cast(x), cast(head), rows, logits);
}

bool CudaBackend::read_argmax(const Buffer& x, const Matrix& head,
                              std::span<const std::int32_t> rows, std::span<std::int32_t> ids) {
  in_flight_of(x).read_argmax(cast(x), cast(head), rows, ids);
  return true;
}

}  // namespace tovamill::cuda
