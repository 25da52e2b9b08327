#include "engine/model/forward.h"

#include <algorithm>

#include "engine/sampling/logit_scan.h"
#include "kernels/types/error.h"

namespace tovamill {

Forward::Forward(const Model& model, Backend& backend, std::int32_t max_rows,
                 std::int32_t max_blocks, std::int32_t max_block, RowTransport* rows)
    : model_(model), backend_(backend), rows_(rows), max_rows_(max_rows), max_blocks_(max_blocks) {
  lanes_.resize(static_cast<std::size_t>(backend.n_lanes()));
  for (Lane& lane : lanes_) make_lane(lane, max_block);
  if (!model.range.has_head()) return;
  buffer_bytes_ +=
      n_logit_rows() * static_cast<std::uint64_t>(model.config.shape.vocab_size) * sizeof(float);
}

void Forward::make_lane(Lane& lane, std::int32_t max_block) {
  const ModelShape& shape = model_.config.shape;
  lane.hidden = make(shape.hidden_size, BufferType::full);
  lane.normed = make(shape.hidden_size, BufferType::compute);
  lane.qkv = make(shape.q_size() + 2 * shape.kv_size(), BufferType::full);
  lane.attended = make(shape.q_size(), BufferType::compute);
  lane.gated = make(shape.intermediate_size, BufferType::compute);
  lane.nll.resize(static_cast<std::size_t>(max_rows_));
  lane.events.resize(static_cast<std::size_t>(shape.n_layers) *
                     static_cast<std::size_t>(max_blocks_));
  // Where a step has many blocks, most of them are of one token.
  const std::int32_t room = std::clamp(4 * max_rows_ / max_blocks_, 1, max_block);
  for (BlockEvents& e : lane.events) e.evictions.reserve(static_cast<std::size_t>(room));
}

std::unique_ptr<Buffer> Forward::make(std::int32_t n_cols, BufferType type) {
  buffer_bytes_ += static_cast<std::uint64_t>(max_rows_) * static_cast<std::uint64_t>(n_cols) * 4;
  return backend_.make_buffer(max_rows_, n_cols, type);
}

void Forward::submit(const StepInput& input) {
  const std::size_t n_blocks = input.blocks.size(), n_rows = input.ids.size();
  if (n_blocks > static_cast<std::size_t>(max_blocks_) ||
      n_rows > static_cast<std::size_t>(max_rows_))
    throw Error(ExitCode::internal, "a step has more blocks or rows than the model was made for");
  if (n_under_way_ == lanes_.size())
    throw Error(ExitCode::internal, "more steps are under way than the device has lanes");
  Lane& lane = lanes_[next_];
  run_layers(input, lane);
  std::fill_n(lane.nll.begin(), n_rows, 0.0f);
  if (model_.range.has_head()) {
    run_head(input, lane);
  } else {
    rows_->send(*lane.hidden, static_cast<std::int32_t>(n_rows));
  }
  lane.n_rows = n_rows;
  lane.n_blocks = n_blocks;
  lane.logit_rows.assign(input.logit_rows.begin(), input.logit_rows.end());
  lane.take_logits = input.take_logits;
  lane.highest_rows.assign(input.highest_rows.begin(), input.highest_rows.end());
  lane.take_highest = input.take_highest;
  next_ = (next_ + 1) % lanes_.size();
  ++n_under_way_;
}

StepOutput Forward::collect() {
  if (n_under_way_ == 0) throw Error(ExitCode::internal, "no step is under way");
  Lane& lane = lanes_[(next_ + lanes_.size() - n_under_way_) % lanes_.size()];
  --n_under_way_;
  backend_.finish_step();
  if (rows_ != nullptr) rows_->check();
  if (!lane.logit_rows.empty()) read_logits(lane, lane.logit_rows, lane.take_logits);
  if (!lane.highest_rows.empty()) read_highest(lane);
  return {.nll = std::span(lane.nll).first(lane.n_rows),
          .events = std::span(lane.events).first(model_.layers.size() * lane.n_blocks),
          .n_blocks = lane.n_blocks};
}

void Forward::run_layers(const StepInput& input, Lane& lane) {
  const std::size_t n_blocks = input.blocks.size();
  backend_.begin_step(input.blocks, static_cast<std::int32_t>(input.ids.size()));
  if (model_.range.has_embedding()) {
    backend_.embed(input.ids, model_.embedding, *lane.hidden);
  } else {
    rows_->receive(*lane.hidden, static_cast<std::int32_t>(input.ids.size()));
  }
  for (std::size_t l = 0; l < model_.layers.size(); ++l) {
    const Layer& layer = model_.layers[l];
    backend_.rms_norm(*lane.hidden, layer.attention_norm, *lane.normed);
    backend_.project(*lane.normed, *layer.attention.qkv, *lane.qkv);
    backend_.attend(static_cast<std::int32_t>(l), layer.attention, *lane.qkv, *lane.attended,
                    std::span(lane.events).subspan(l * n_blocks, n_blocks));
    backend_.project_add(*lane.attended, *layer.o, *lane.hidden);
    backend_.rms_norm(*lane.hidden, layer.ffn_norm, *lane.normed);
    backend_.project_gated(*lane.normed, *layer.gate_up, *lane.gated);
    backend_.project_add(*lane.gated, *layer.down, *lane.hidden);
  }
}

void Forward::run_head(const StepInput& input, Lane& lane) {
  const bool is_scored = std::any_of(input.targets.begin(), input.targets.end(),
                                     [](std::int32_t t) { return t >= 0; });
  if (is_scored || !input.logit_rows.empty() || !input.highest_rows.empty())
    backend_.rms_norm(*lane.hidden, model_.final_norm, *lane.normed);
  if (is_scored) backend_.target_nll(*lane.normed, *model_.head, input.targets, lane.nll);
}

// The head in blocks of rows, each read into the same memory.
template <class Take>
void Forward::read_logits(Lane& lane, std::span<const std::int32_t> rows, Take&& take) {
  const auto vocab = static_cast<std::size_t>(model_.config.shape.vocab_size);
  logits_.resize(n_logit_rows() * vocab);
  for (std::size_t begin = 0; begin < rows.size(); begin += n_logit_rows()) {
    const std::size_t n = std::min(n_logit_rows(), rows.size() - begin);
    const auto block = std::span(logits_).first(n * vocab);
    backend_.read_logits(*lane.normed, *model_.head, rows.subspan(begin, n), block);
    for (std::size_t i = 0; i < n; ++i) take(begin + i, block.subspan(i * vocab, vocab));
  }
}

void Forward::read_highest(Lane& lane) {
  const std::span<const std::int32_t> rows = lane.highest_rows;
  highest_.resize(rows.size());
  if (!backend_.read_highest(*lane.normed, *model_.head, rows, highest_)) {
    read_logits(lane, rows, [&](std::size_t i, std::span<const float> logits) {
      highest_[i] = first_with_logit(logits, highest_logit(logits));
    });
  }
  for (std::size_t i = 0; i < rows.size(); ++i) lane.take_highest(i, highest_[i]);
}

}  // namespace tovamill
