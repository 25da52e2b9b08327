// The step of the CUDA backend: calls become what a lane runs.
#include "kernels/cuda/step/backend.h"
#include "kernels/types/tensor.h"

namespace tovamill::cuda {
namespace {

const CudaMatrix& cast(const Matrix& m) { return static_cast<const CudaMatrix&>(m); }
const CudaBuffer& cast(const Buffer& b) { return static_cast<const CudaBuffer&>(b); }

}  // namespace

void* CudaBackend::used(const Buffer& buffer) {
  const CudaBuffer& b = cast(buffer);
  Lane& lane = lanes_.newest();
  if (b.is_leaving && b.last_step != lane.step()) {
    lane.wait(*b.sent);
    b.is_leaving = false;
  }
  b.last_step = lane.step();
  return b.memory.data();
}

void CudaBackend::begin_step(std::span<const StepBlock> blocks, std::int32_t n_rows) {
  if (is_setting_up_) end_set_up();
  states_->prepare(blocks);
  lanes_.begin(blocks, n_rows);
}

void CudaBackend::embed(std::span<const std::int32_t> ids, const TensorView& embedding,
                        Buffer& out) {
  if (table_source_ != embedding.data) {
    hold_embedding(embedding);
    end_set_up();
  }
  Lane& lane = lanes_.newest();
  lane.set_ids(ids);
  lane.issue({.kind = Call::Kind::embed,
              .n_out = table_->cols,
              .weights = table_->weights.data(),
              .out = used(out)});
}

void CudaBackend::rms_norm(const Buffer& x, std::span<const float> weight, Buffer& out) {
  lanes_.newest().issue({.kind = Call::Kind::norm,
                         .n_out = static_cast<std::int32_t>(weight.size()),
                         .in = used(x),
                         .weights = on_device(weight),
                         .out = used(out)});
}

void CudaBackend::issue_product(Call call, const Buffer& x, const Matrix& w, Buffer& out) {
  const CudaMatrix& m = cast(w);
  call.n_in = m.cols;
  call.n_out = m.rows;
  call.in = used(x);
  call.weights = m.weights.data();
  call.bias = m.bias();
  call.out = used(out);
  lanes_.newest().issue(call);
}

void CudaBackend::project(const Buffer& x, const Matrix& w, Buffer& out) {
  issue_product({.kind = Call::Kind::project}, x, w, out);
}

void CudaBackend::project_add(const Buffer& x, const Matrix& w, Buffer& hidden) {
  issue_product({.kind = Call::Kind::project, .adds = true}, x, w, hidden);
}

void CudaBackend::project_gated(const Buffer& x, const Matrix& gate_up, Buffer& out) {
  issue_product({.kind = Call::Kind::gated}, x, gate_up, out);
}

void CudaBackend::attend(std::int32_t layer, const AttentionWeights& weights, Buffer& qkv,
                         Buffer& out, std::span<BlockEvents> events) {
  Lane& lane = lanes_.newest();
  lane.issue({.kind = Call::Kind::attend,
              .layer = layer,
              .in = used(qkv),
              .q_norm = on_device(weights.q_norm),
              .k_norm = on_device(weights.k_norm),
              .out = used(out)});
  lane.promise(layer, events);
}

void CudaBackend::target_nll(const Buffer& x, const Matrix& head,
                             std::span<const std::int32_t> targets, std::span<float> nll) {
  used(x);
  lanes_.newest().target_nll(cast(x), cast(head), targets, nll);
}

void CudaBackend::finish_step() {
  if (const StepNumber step = lanes_.finish(); step != 0) states_->finish(step);
}

// The lane of the step that wrote x; of rows that the host wrote, the last one's.
Lane& CudaBackend::lane_of(const Buffer& x) {
  Lane* lane = lanes_.of(cast(x).last_step);
  return lane != nullptr ? *lane : lanes_.newest();
}

void CudaBackend::read_logits(const Buffer& x, const Matrix& head,
                              std::span<const std::int32_t> rows, std::span<float> logits) {
  lane_of(x).read_logits(cast(x), cast(head), rows, logits);
}

bool CudaBackend::read_highest(const Buffer& x, const Matrix& head,
                               std::span<const std::int32_t> rows, std::span<std::int32_t> ids) {
  lane_of(x).read_highest(cast(x), cast(head), rows, ids);
  return true;
}

}  // namespace tovamill::cuda
