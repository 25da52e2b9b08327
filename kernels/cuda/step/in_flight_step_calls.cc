// The operations of a step in flight, their work and bytes for r rows, in elements of e bytes:
//   embed          reads r n e, writes 4 r n
//   norm           reads 4 r n twice (the second time from the cache), writes r n e
//   project        2 r n_in n_out operations; reads n_in n_out e of weights
//   gated          the same with twice the intermediate size, and r n (2 + 1) e around the gate
//   head           2 r n_in vocab operations, 4 r vocab written and read twice
#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cuda/experts/expert_rows.h"
#include "kernels/cuda/gemm/elementwise.h"
#include "kernels/cuda/step/in_flight_step.h"

namespace tovamill::cuda {

void InFlightStep::issue(const Call& call) {
  if (!defers_) return run(call);
  deferred_.push_back(call);
}

void InFlightStep::flush() {
  if (deferred_.empty()) return;
  const StepLayout& layout = attention_.layout();
  const std::vector<Call> calls = std::exchange(deferred_, {});
  graphs_.run({n_rows_, layout.batches(), attention_.scratch().data(), calls}, step_, stream_, [&] {
    for (const Call& call : calls) run(call);
  });
}

void InFlightStep::run(const Call& call) {
  if (call.kind == Call::Kind::attend) {
    attention_.run(call.layer, call.of_rows, call.sinks, static_cast<const float*>(call.in),
                   call.out);
    return;
  }
  if (call.kind == Call::Kind::project) {
    timer_.enter(StepPart::gemm, stream_);
    multiply(call, call.out, ComputeType::f32);
    if (call.bias != nullptr)
      add_bias(static_cast<float*>(call.out), call.bias, call.n_out, n_rows_, stream_);
    return;
  }
  if (call.kind == Call::Kind::scale || call.kind == Call::Kind::copy) {
    timer_.enter(StepPart::rows, stream_);
    const bool scales = call.kind == Call::Kind::scale;
    copy_columns_of_rows({.from = static_cast<const float*>(call.in) + call.first,
                          .n_from = call.n_in,
                          .to = static_cast<float*>(call.out) + call.first_out,
                          .n_to = call.n_out,
                          .n = call.n_columns,
                          .factor = scales ? call.factor : 1.0f},
                         n_rows_, stream_);
    return;
  }
  switch (type_) {
    case ComputeType::f32:
      return run_rows<float>(call);
    case ComputeType::bf16:
      return run_rows<Bf16>(call);
  }
}

template <class T>
void InFlightStep::run_rows(const Call& call) {
  if (call.kind == Call::Kind::activate) {
    timer_.enter(StepPart::gemm, stream_);
    multiply(call, gate_up_.data(), type_);
    timer_.enter(StepPart::rows, stream_);
    gate_rows(static_cast<const T*>(gate_up_.data()),
              {.activation = call.activation,
               .is_gated = call.is_gated,
               .n = call.is_gated ? call.n_out / 2 : call.n_out,
               .bias = call.bias,
               .xielu = call.xielu},
              static_cast<T*>(call.out), n_rows_, stream_);
    return;
  }
  if (call.kind == Call::Kind::experts) return add_experts<T>(call);
  timer_.enter(StepPart::rows, stream_);
  const auto* x = static_cast<const float*>(call.in);
  if (call.kind == Call::Kind::weigh) {
    add_weighted_rows(x, static_cast<const T*>(call.also_in),
                      static_cast<const float*>(call.weights), call.n_out,
                      static_cast<float*>(call.out), n_rows_, stream_);
  } else if (call.kind == Call::Kind::embed) {
    embed_rows(static_cast<const std::int32_t*>(ids_.data()), static_cast<const T*>(call.weights),
               call.n_out, call.factor, static_cast<float*>(call.out), n_rows_, stream_);
  } else if (call.kind == Call::Kind::multiply) {
    multiply_columns_of_rows(static_cast<T*>(call.out), call.n_out, x + call.first, call.n_in,
                             n_rows_, stream_);
  } else if (call.kind == Call::Kind::convert) {
    convert_rows(x, call.n_out, static_cast<T*>(call.out), n_rows_, stream_);
  } else {
    const NormArguments norm{.kind = norm_,
                             .x = x,
                             .weight = static_cast<const float*>(call.weights),
                             .bias = call.bias,
                             .n = call.n_out,
                             .eps = eps_ * call.factor,
                             .adds = call.adds};
    if (call.adds) {
      norm_rows(norm, static_cast<float*>(call.out), n_rows_ * call.parts, stream_);
    } else {
      norm_rows(norm, static_cast<T*>(call.out), n_rows_, stream_);
    }
  }
}

// out, rows of n_out, = in W^T of all rows of the step.
void InFlightStep::multiply(const Call& call, void* out, ComputeType out_type) {
  const std::size_t in_bytes = static_cast<std::size_t>(call.n_in) * element_bytes(type_),
                    out_bytes = static_cast<std::size_t>(call.n_out) * element_bytes(out_type);
  for (const Segment& s : segments_) {
    const auto first = static_cast<std::size_t>(s.first);
    gemm_.multiply({call.weights, call.n_out, call.n_in},
                   static_cast<const std::byte*>(call.in) + first * in_bytes, s.n_rows, s.kind,
                   static_cast<std::byte*>(out) + first * out_bytes, out_type, call.adds,
                   workspace_, stream_);
  }
}

// logits_ of `n` rows of x.
void InFlightStep::multiply_head(const CudaMatrix& head, const void* x, std::int32_t n,
                                 RowKind kind) {
  auto* logits = static_cast<float*>(logits_.data());
  gemm_.multiply(head.operand(), x, n, kind, logits, ComputeType::f32, false, workspace_, stream_);
  if (head.bias() != nullptr) add_bias(logits, head.bias(), head.rows, n, stream_);
  if (logit_cap_ > 0.0f) cap_rows(logits, logit_cap_, head.rows, n, stream_);
}

void InFlightStep::target_nll(const CudaBuffer& x, const CudaMatrix& head,
                              std::span<const std::int32_t> targets, std::span<float> nll) {
  flush();
  const auto n_rows = static_cast<std::int32_t>(targets.size());
  const std::int32_t* wanted = stage(targets, host_targets_.data(), targets_, targets_staged_);
  const std::size_t row_bytes = static_cast<std::size_t>(head.cols) * element_bytes(type_);
  timer_.enter(StepPart::head, stream_);
  for (const Segment& s : segments_) {
    const std::int32_t end = std::min(n_rows, s.first + s.n_rows);
    for (std::int32_t first = s.first; first < end; first += head_rows_) {
      const std::int32_t n = std::min(head_rows_, end - first);
      multiply_head(head, x.as<std::byte>() + static_cast<std::size_t>(first) * row_bytes, n,
                    s.kind);
      nll_rows(static_cast<const float*>(logits_.data()), wanted + first, head.rows,
               static_cast<float*>(nll_.data()) + first, n, stream_);
    }
  }
  requested_nll_ = nll.first(targets.size());
}

// logits_ of the wanted rows side by side, as many as there is room for, each multiplied as a row
// of its kind is; take(first, n) puts what becomes of them into the stream and waits for it.
template <class Take>
void InFlightStep::multiply_rows(const CudaBuffer& x, const CudaMatrix& head,
                                 std::span<const std::int32_t> rows, Take&& take) {
  flush();
  const bool is_between = timer_.is_idle();
  if (is_between) timer_.begin(StepPart::head, stream_);
  for (std::size_t begin = 0; begin < rows.size();) {
    const RowKind kind = kind_of(rows[begin]);
    std::size_t end = begin + 1;
    while (end < rows.size() && end - begin < static_cast<std::size_t>(head_rows_) &&
           kind_of(rows[end]) == kind)
      ++end;
    const auto n = static_cast<std::int32_t>(end - begin);
    const std::int32_t* which =
        stage(rows.subspan(begin, end - begin), host_targets_.data(), targets_, targets_staged_);
    switch (type_) {
      case ComputeType::f32:
        gather_rows(x.as<float>(), which, head.cols, static_cast<float*>(gathered_.data()), n,
                    stream_);
        break;
      case ComputeType::bf16:
        gather_rows(x.as<Bf16>(), which, head.cols, static_cast<Bf16*>(gathered_.data()), n,
                    stream_);
        break;
    }
    multiply_head(head, gathered_.data(), n, kind);
    take(begin, end - begin);
    begin = end;
  }
  if (!is_between || !timer_.is_on()) return;
  timer_.end(stream_);
  stream_.synchronize();
  timer_.read(trace_, false);
}

void InFlightStep::read_logits(const CudaBuffer& x, const CudaMatrix& head,
                               std::span<const std::int32_t> rows, std::span<float> logits) {
  const auto n_vocab = static_cast<std::size_t>(head.rows);
  multiply_rows(x, head, rows, [&](std::size_t first, std::size_t n) {
    const std::size_t n_bytes = n * n_vocab * sizeof(float);
    if (host_logits_.size() < n_bytes) host_logits_ = PinnedMemory(n_bytes);
    TOVAMILL_CUDA(cudaMemcpyAsync(host_logits_.data(), logits_.data(), n_bytes,
                                  cudaMemcpyDeviceToHost, stream_.get()));
    stream_.synchronize();
    std::memcpy(logits.data() + first * n_vocab, host_logits_.data(), n_bytes);
  });
}

// Four bytes a row come to the host instead of the vocabulary's logits.
void InFlightStep::read_argmax(const CudaBuffer& x, const CudaMatrix& head,
                               std::span<const std::int32_t> rows, std::span<std::int32_t> ids) {
  multiply_rows(x, head, rows, [&](std::size_t first, std::size_t n) {
    argmax_rows(static_cast<const float*>(logits_.data()), head.rows,
                static_cast<std::int32_t*>(nll_.data()), static_cast<std::int32_t>(n), stream_);
    TOVAMILL_CUDA(cudaMemcpyAsync(host_nll_.data(), nll_.data(), n * sizeof(std::int32_t),
                                  cudaMemcpyDeviceToHost, stream_.get()));
    stream_.synchronize();
    std::memcpy(ids.data() + first, host_nll_.data(), n * sizeof(std::int32_t));
  });
}

}  // namespace tovamill::cuda
