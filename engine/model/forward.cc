#include "engine/model/forward.h"

#include <algorithm>
#include <utility>

#include "engine/sampling/logit_scan.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

ModelShape shape_of_range(const Model& model) {
  ModelShape shape = model.config.shape;
  shape.n_layers = model.range.n;
  shape.first_layer = model.range.first;
  return shape;
}

}  // namespace

Forward::Forward(const Model& model, Backend& backend, std::int32_t max_rows,
                 std::int32_t max_blocks, std::int32_t max_block)
    : model_(model),
      shape_(shape_of_range(model)),
      backend_(backend),
      max_rows_(max_rows),
      max_blocks_(max_blocks) {
  if (!model.range.has_embedding() || !model.range.has_head()) unlink();
  for (std::int32_t i = 0; i < backend.n_in_flight(); ++i) make_in_flight(max_block);
  if (!model.range.has_head()) return;
  buffer_bytes_ +=
      n_logit_rows() * static_cast<std::uint64_t>(model.config.shape.vocab_size) * sizeof(float);
}

std::string Forward::link(ActivationLinksPlace place) {
  place.hidden_size = model_.config.shape.hidden_size;
  try {
    std::unique_ptr<ActivationTransfer> linked = backend_.device().link_activations(place);
    if (linked == nullptr) return "this device has no links";
    transfer_ = std::move(linked);
    return "";
  } catch (const NcclGroupError& e) {
    return e.what();
  } catch (const OutOfMemory& e) {
    return e.what();
  }
}

void Forward::unlink() {
  transfer_ = make_message_transfer(backend_.device(), model_.config.shape.hidden_size);
}

void Forward::make_in_flight(std::int32_t max_block) {
  InFlight& in_flight = in_flight_.emplace_back(shape_, backend_.device(), max_rows_);
  buffer_bytes_ += in_flight.rows.n_bytes;
  in_flight.events.resize(model_.layers.size() * static_cast<std::size_t>(max_blocks_));
  // Where a step has many blocks, most of them are of one token.
  const std::int32_t room = std::clamp(4 * max_rows_ / max_blocks_, 1, max_block);
  for (BlockEvents& e : in_flight.events) e.evictions.reserve(static_cast<std::size_t>(room));
}

void Forward::submit(const StepInput& input) {
  const std::size_t n_blocks = input.blocks.size(), n_rows = input.ids.size();
  if (n_blocks > static_cast<std::size_t>(max_blocks_) ||
      n_rows > static_cast<std::size_t>(max_rows_))
    throw Error(ExitCode::internal, "a step has more blocks or rows than the model was made for");
  if (n_in_flight_ == in_flight_.size())
    throw Error(ExitCode::internal, "more steps are in flight than the device takes");
  InFlight& in_flight = in_flight_[next_];
  run_layers(input, in_flight);
  std::fill_n(in_flight.nll.begin(), n_rows, 0.0f);
  if (model_.range.has_head()) {
    run_head(input, in_flight);
  } else {
    transfer_->send(*in_flight.rows.hidden, static_cast<std::int32_t>(n_rows));
  }
  in_flight.n_rows = n_rows;
  in_flight.n_blocks = n_blocks;
  in_flight.logit_rows.assign(input.logit_rows.begin(), input.logit_rows.end());
  in_flight.take_logits = input.take_logits;
  in_flight.argmax_rows.assign(input.argmax_rows.begin(), input.argmax_rows.end());
  in_flight.take_argmax = input.take_argmax;
  next_ = (next_ + 1) % in_flight_.size();
  ++n_in_flight_;
}

StepOutput Forward::collect() {
  if (n_in_flight_ == 0) throw Error(ExitCode::internal, "no step is in flight");
  InFlight& in_flight = in_flight_[(next_ + in_flight_.size() - n_in_flight_) % in_flight_.size()];
  --n_in_flight_;
  backend_.finish_step();
  if (transfer_ != nullptr) transfer_->check();
  if (!in_flight.logit_rows.empty())
    read_logits(in_flight, in_flight.logit_rows, in_flight.take_logits);
  if (!in_flight.argmax_rows.empty()) read_argmax(in_flight);
  return {.nll = std::span(in_flight.nll).first(in_flight.n_rows),
          .events = std::span(in_flight.events).first(model_.layers.size() * in_flight.n_blocks),
          .n_blocks = in_flight.n_blocks};
}

void Forward::run_layers(const StepInput& input, InFlight& in_flight) {
  const std::size_t n_blocks = input.blocks.size();
  backend_.begin_step(input.blocks, static_cast<std::int32_t>(input.ids.size()));
  if (model_.range.has_embedding()) {
    backend_.embed(input.ids, model_.embedding, model_.config.shape.embedding_scale,
                   *in_flight.rows.hidden);
    prepare_layer_inputs(backend_, model_, input.ids, in_flight.rows);
  } else {
    transfer_->receive(*in_flight.rows.hidden, static_cast<std::int32_t>(input.ids.size()));
  }
  for (std::size_t l = 0; l < model_.layers.size(); ++l) {
    const Layer& layer = model_.layers[l];
    const auto index = static_cast<std::int32_t>(l);
    const LayerShape& shape = shape_.layer(index);
    prepare_attention(backend_, shape, layer, in_flight.rows);
    attend(backend_, shape_, index, layer, in_flight.rows,
           std::span(in_flight.events).subspan(l * n_blocks, n_blocks));
    add_attention(backend_, shape_, index, layer, in_flight.rows, *in_flight.rows.hidden);
    add_feed_forward(backend_, shape, layer, in_flight.rows);
    add_layer_input(backend_, shape_, index, layer, in_flight.rows);
  }
}

void Forward::run_head(const StepInput& input, InFlight& in_flight) {
  const bool is_scored = std::any_of(input.targets.begin(), input.targets.end(),
                                     [](std::int32_t t) { return t >= 0; });
  if (is_scored || !input.logit_rows.empty() || !input.argmax_rows.empty())
    backend_.norm(*in_flight.rows.hidden, model_.final_norm, *in_flight.rows.normed);
  if (is_scored)
    backend_.target_nll(*in_flight.rows.normed, *model_.head, input.targets, in_flight.nll);
}

// The head in blocks of rows, each read into the same memory.
template <class Take>
void Forward::read_logits(InFlight& in_flight, std::span<const std::int32_t> rows, Take&& take) {
  const auto vocab = static_cast<std::size_t>(model_.config.shape.vocab_size);
  logits_.resize(n_logit_rows() * vocab);
  for (std::size_t begin = 0; begin < rows.size(); begin += n_logit_rows()) {
    const std::size_t n = std::min(n_logit_rows(), rows.size() - begin);
    const auto block = std::span(logits_).first(n * vocab);
    backend_.read_logits(*in_flight.rows.normed, *model_.head, rows.subspan(begin, n), block);
    for (std::size_t i = 0; i < n; ++i) take(begin + i, block.subspan(i * vocab, vocab));
  }
}

void Forward::read_argmax(InFlight& in_flight) {
  const std::span<const std::int32_t> rows = in_flight.argmax_rows;
  argmax_.resize(rows.size());
  if (!backend_.read_argmax(*in_flight.rows.normed, *model_.head, rows, argmax_)) {
    read_logits(in_flight, rows, [&](std::size_t i, std::span<const float> logits) {
      argmax_[i] = first_with_logit(logits, highest_logit(logits));
    });
  }
  for (std::size_t i = 0; i < rows.size(); ++i) in_flight.take_argmax(i, argmax_[i]);
}

}  // namespace tovamill
