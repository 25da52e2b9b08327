#include "engine/model/attention_errors.h"

#include <algorithm>
#include <memory>

#include "engine/model/layer_step.h"

namespace tovamill {
namespace {

class Measurement {
 public:
  Measurement(const Model& model, Backend& whole, std::span<Backend* const> bounded,
              const AttentionErrorInput& input)
      : model_(model),
        whole_(whole),
        bounded_(bounded),
        input_(input),
        rows_(model.config.shape, whole.device(), input.block) {
    added_ =
        whole.device().make_buffer(input.block, model.config.shape.hidden_size, BufferType::full);
    squares_.assign(model.layers.size(), 0.0);
    errors_.assign(model.layers.size(), std::vector<double>(bounded.size(), 0.0));
  }

  void read(const std::vector<std::int32_t>& ids) {
    std::vector<std::unique_ptr<StreamState>> states;
    states.push_back(whole_.make_state());
    for (Backend* b : bounded_) states.push_back(b->make_state());
    const auto n = static_cast<std::int64_t>(ids.size());
    for (std::int64_t position = 0; position < n; position += input_.block) {
      const std::int64_t n_rows = std::min<std::int64_t>(input_.block, n - position);
      step(std::span(ids).subspan(static_cast<std::size_t>(position),
                                  static_cast<std::size_t>(n_rows)),
           position, states);
      if (input_.tell) input_.tell(n_rows);
    }
  }

  std::vector<std::vector<double>> relative_errors() {
    for (std::size_t l = 0; l < errors_.size(); ++l) {
      for (double& e : errors_[l]) e /= std::max(squares_[l], 1e-30);
    }
    return std::move(errors_);
  }

 private:
  void step(std::span<const std::int32_t> ids, std::int64_t position,
            std::span<const std::unique_ptr<StreamState>> states) {
    n_rows_ = static_cast<std::int32_t>(ids.size());
    first_counted_ = std::clamp<std::int64_t>(input_.first_counted - position, 0, n_rows_);
    const auto begin = [&](Backend& backend, StreamState& state) {
      const StepBlock block{.state = &state, .n_tokens = n_rows_, .position = position};
      backend.begin_step(std::span(&block, 1), n_rows_);
    };
    begin(whole_, *states[0]);
    for (std::size_t i = 0; i < bounded_.size(); ++i) begin(*bounded_[i], *states[i + 1]);
    whole_.embed(ids, model_.embedding, model_.config.shape.embedding_scale, *rows_.hidden);
    prepare_layer_inputs(whole_, model_, ids, rows_);
    for (std::size_t l = 0; l < model_.layers.size(); ++l) run_layer(l);
    whole_.finish_step();
    for (Backend* b : bounded_) b->finish_step();
  }

  const LayerShape& shape_of(std::size_t l) const {
    return model_.config.shape.layers[static_cast<std::size_t>(model_.range.first) + l];
  }

  // What the layer adds to the residual stream, of one backend's states.
  std::vector<float> added_by(Backend& backend, std::size_t l) {
    const Layer& layer = model_.layers[l];
    BlockEvents events;
    const auto index = static_cast<std::int32_t>(l);
    attend(backend, model_.config.shape, index, layer, rows_, std::span(&events, 1));
    const std::vector<float> zeros(static_cast<std::size_t>(n_rows_) *
                                   static_cast<std::size_t>(model_.config.shape.hidden_size));
    whole_.device().write_rows(*added_, 0, zeros);
    add_attention(backend, model_.config.shape, index, layer, rows_, *added_);
    return rows_of(*added_);
  }

  std::vector<float> rows_of(const Buffer& buffer) const {
    const auto n = static_cast<std::size_t>(n_rows_) *
                   static_cast<std::size_t>(model_.config.shape.hidden_size);
    std::vector<float> rows(n);
    whole_.device().read_rows(buffer, 0, rows);
    return rows;
  }

  // Of the counted rows.
  double squared(const std::vector<float>& a, const std::vector<float>* less = nullptr) const {
    const auto first = static_cast<std::size_t>(first_counted_) *
                       static_cast<std::size_t>(model_.config.shape.hidden_size);
    double sum = 0.0;
    for (std::size_t i = first; i < a.size(); ++i) {
      const double x =
          static_cast<double>(a[i]) - (less == nullptr ? 0.0 : static_cast<double>((*less)[i]));
      sum += x * x;
    }
    return sum;
  }

  void run_layer(std::size_t l) {
    const Layer& layer = model_.layers[l];
    prepare_attention(whole_, shape_of(l), layer, rows_);
    squares_[l] += squared(rows_of(*rows_.hidden));
    std::vector<std::vector<float>> added;
    for (Backend* b : bounded_) added.push_back(added_by(*b, l));
    const std::vector<float> exact = added_by(whole_, l);
    for (std::size_t i = 0; i < added.size(); ++i) errors_[l][i] += squared(added[i], &exact);
    const auto index = static_cast<std::int32_t>(l);
    add_attention(whole_, model_.config.shape, index, layer, rows_, *rows_.hidden);
    add_feed_forward(whole_, shape_of(l), layer, rows_);
    add_layer_input(whole_, model_.config.shape, index, layer, rows_);
  }

  const Model& model_;
  Backend& whole_;
  std::span<Backend* const> bounded_;
  const AttentionErrorInput& input_;
  LayerBuffers rows_;
  std::unique_ptr<Buffer> added_;
  std::int32_t n_rows_ = 0;
  std::int64_t first_counted_ = 0;
  std::vector<double> squares_;              // (n_layers)
  std::vector<std::vector<double>> errors_;  // (n_layers, bounded)
};

}  // namespace

std::vector<std::vector<double>> attention_errors(const Model& model, Backend& whole,
                                                  std::span<Backend* const> bounded,
                                                  const AttentionErrorInput& input) {
  Measurement measurement(model, whole, bounded, input);
  for (const std::vector<std::int32_t>& ids : input.texts) measurement.read(ids);
  return measurement.relative_errors();
}

}  // namespace tovamill
