#include "engine/forward.h"

#include <algorithm>

#include "kernels/error.h"

namespace tovamill {

Forward::Forward(const Model& model, Backend& backend, std::int32_t max_rows,
                 std::int32_t max_blocks, std::int32_t max_block)
    : model_(model), backend_(backend), max_rows_(max_rows), max_blocks_(max_blocks) {
  const ModelShape& shape = model.config.shape;
  hidden_ = make(shape.hidden_size, BufferType::full);
  normed_ = make(shape.hidden_size, BufferType::compute);
  qkv_ = make(shape.q_size() + 2 * shape.kv_size(), BufferType::full);
  attended_ = make(shape.q_size(), BufferType::compute);
  gated_ = make(shape.intermediate_size, BufferType::compute);
  buffer_bytes_ += n_logit_rows() * static_cast<std::uint64_t>(shape.vocab_size) * sizeof(float);
  nll_.resize(static_cast<std::size_t>(max_rows));
  events_.resize(static_cast<std::size_t>(shape.n_layers) * static_cast<std::size_t>(max_blocks));
  // Where a step has many blocks, most of them are of one token.
  const std::int32_t room = std::clamp(4 * max_rows / max_blocks, 1, max_block);
  for (BlockEvents& e : events_) e.evictions.reserve(static_cast<std::size_t>(room));
}

std::unique_ptr<Buffer> Forward::make(std::int32_t n_cols, BufferType type) {
  buffer_bytes_ += static_cast<std::uint64_t>(max_rows_) * static_cast<std::uint64_t>(n_cols) * 4;
  return backend_.make_buffer(max_rows_, n_cols, type);
}

StepOutput Forward::run(const StepInput& input) {
  const std::size_t n_blocks = input.blocks.size(), n_rows = input.ids.size();
  if (n_blocks > static_cast<std::size_t>(max_blocks_) ||
      n_rows > static_cast<std::size_t>(max_rows_))
    throw Error(ExitCode::internal, "a step has more blocks or rows than the model was made for");
  run_layers(input);
  const bool is_scored = std::any_of(input.targets.begin(), input.targets.end(),
                                     [](std::int32_t t) { return t >= 0; });
  if (is_scored || !input.logit_rows.empty())
    backend_.rms_norm(*hidden_, model_.final_norm, *normed_);
  std::fill_n(nll_.begin(), n_rows, 0.0f);
  if (is_scored) backend_.target_nll(*normed_, *model_.head, input.targets, nll_);
  backend_.finish_step();
  read_logits(input);
  return {.nll = std::span(nll_).first(n_rows),
          .events = std::span(events_).first(model_.layers.size() * n_blocks),
          .n_blocks = n_blocks};
}

void Forward::run_layers(const StepInput& input) {
  const std::size_t n_blocks = input.blocks.size();
  backend_.begin_step(input.blocks, static_cast<std::int32_t>(input.ids.size()));
  backend_.embed(input.ids, model_.embedding, *hidden_);
  for (std::size_t l = 0; l < model_.layers.size(); ++l) {
    const Layer& layer = model_.layers[l];
    backend_.rms_norm(*hidden_, layer.attention_norm, *normed_);
    backend_.project(*normed_, *layer.attention.qkv, *qkv_);
    backend_.attend(static_cast<std::int32_t>(l), layer.attention, *qkv_, *attended_,
                    std::span(events_).subspan(l * n_blocks, n_blocks));
    backend_.project_add(*attended_, *layer.o, *hidden_);
    backend_.rms_norm(*hidden_, layer.ffn_norm, *normed_);
    backend_.project_gated(*normed_, *layer.gate_up, *gated_);
    backend_.project_add(*gated_, *layer.down, *hidden_);
  }
}

// The head in blocks of rows, each read into the same memory.
void Forward::read_logits(const StepInput& input) {
  if (input.logit_rows.empty()) return;
  const auto vocab = static_cast<std::size_t>(model_.config.shape.vocab_size);
  logits_.resize(n_logit_rows() * vocab);
  for (std::size_t begin = 0; begin < input.logit_rows.size(); begin += n_logit_rows()) {
    const std::size_t n = std::min(n_logit_rows(), input.logit_rows.size() - begin);
    const auto block = std::span(logits_).first(n * vocab);
    backend_.read_logits(*normed_, *model_.head, input.logit_rows.subspan(begin, n), block);
    for (std::size_t i = 0; i < n; ++i)
      input.take_logits(begin + i, block.subspan(i * vocab, vocab));
  }
}

}  // namespace tovamill
