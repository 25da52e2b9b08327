#include "workers/plan/calibration.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <optional>
#include <vector>

#include "engine/model/forward.h"
#include "workers/lease/run_journal.h"

namespace tovamill {
namespace {

constexpr int kMostRepeats = 15;
constexpr int kFewestRepeats = 3;  // 2 where a repetition takes long
constexpr double kEnoughSeconds = 3.0;
constexpr double kTooManySeconds = 10.0;
// An unbounded state is filled up to here: it grows on in a run, whose rate then falls.
constexpr double kFullestState = 8192.0;  // tokens

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n == 0 ? 0.0 : 0.5 * (values[(n - 1) / 2] + values[n / 2]);
}

ModelWeights first_layers(const ModelWeights& weights, std::size_t n) {
  ModelWeights first = weights;
  first.layers.resize(std::min(n, first.layers.size()));
  return first;
}

// Streams of one model that go on and on.
class Streams {
 public:
  Streams(Backend& backend, std::int32_t n) {
    for (std::int32_t i = 0; i < n; ++i) states_.push_back(backend.make_state());
  }

  std::int64_t position() const { return position_; }

  // Reads on in the first stream up to a position, which all others then share.
  void fill(Forward& forward, Backend& backend, std::span<const std::int32_t> source,
            std::int64_t position, std::int32_t block) {
    std::vector<std::unique_ptr<StreamState>> others(std::make_move_iterator(states_.begin() + 1),
                                                     std::make_move_iterator(states_.end()));
    states_.resize(1);
    while (position_ < position)
      step(forward, backend, source,
           static_cast<std::int32_t>(std::min<std::int64_t>(block, position - position_)), false,
           false);
    for (auto& other : others) {
      backend.copy(*states_.front(), *other);
      states_.push_back(std::move(other));
    }
  }

  // Seconds of a step in which each stream takes a token and, with `has_head`, chooses another.
  double write(Forward& forward, std::span<const std::int32_t> source, bool has_head) {
    blocks_.clear();
    ids_.clear();
    targets_.clear();
    for (const auto& state : states_) {
      const auto row = static_cast<std::int32_t>(ids_.size());
      blocks_.push_back(
          {.state = state.get(), .first_row = row, .n_tokens = 1, .position = position_});
      ids_.push_back(source[next_++ % source.size()]);
      if (has_head) targets_.push_back(row);
    }
    ++position_;
    const double start = now_s();
    forward.run({.blocks = blocks_,
                 .ids = ids_,
                 .logit_rows = targets_,
                 .take_logits = [&](std::size_t, std::span<float> logits) {
                   next_ += *std::max_element(logits.begin(), logits.end()) > 0.0f;
                 }});
    return now_s() - start;
  }

  // Seconds of a step in which each stream takes `n_tokens`. Documents of a single block start
  // anew.
  double step(Forward& forward, Backend& backend, std::span<const std::int32_t> source,
              std::int32_t n_tokens, bool starts_anew, bool has_head) {
    blocks_.clear();
    ids_.clear();
    targets_.clear();
    for (const auto& state : states_) {
      if (starts_anew) backend.reset(*state);
      blocks_.push_back({.state = state.get(),
                         .first_row = static_cast<std::int32_t>(ids_.size()),
                         .n_tokens = n_tokens,
                         .position = starts_anew ? 0 : position_});
      for (std::int32_t t = 0; t < n_tokens; ++t) {
        ids_.push_back(source[next_++ % source.size()]);
        targets_.push_back(has_head ? source[next_ % source.size()] : -1);
      }
    }
    if (!starts_anew) position_ += n_tokens;
    const double start = now_s();
    forward.run({.blocks = blocks_, .ids = ids_, .targets = targets_});
    return now_s() - start;
  }

 private:
  std::vector<std::unique_ptr<StreamState>> states_;
  std::int64_t position_ = 0;
  std::size_t next_ = 0;
  std::vector<StepBlock> blocks_;
  std::vector<std::int32_t> ids_, targets_;
};

// The model has its first `n` layers only, 1 or 2, as long as this lives.
class FirstLayers {
 public:
  FirstLayers(Model& model, int n) : model_(model) {
    if (n > 1 || model.layers.size() < 2) return;
    removed_ = std::move(model.layers.back());
    model.layers.pop_back();
  }
  ~FirstLayers() {
    if (removed_) model_.layers.push_back(std::move(*removed_));
  }
  FirstLayers(const FirstLayers&) = delete;
  FirstLayers& operator=(const FirstLayers&) = delete;

 private:
  Model& model_;
  std::optional<Layer> removed_;
};

class Bench {
 public:
  Bench(const ModelConfig& config, const ModelWeights& weights, const CalibrationInput& input)
      : input_(input), n_layers_(config.shape.n_layers) {
    ModelConfig small = config;
    small.shape.n_layers = std::min(2, n_layers_);
    BackendOptions options = input.backend;
    options.shape = small.shape;
    options.max_rows = std::max(options.max_rows, input.n_writers);
    backend_ = make_backend(input.device, options);
    model_ = pack_model(small, first_layers(weights, 2), backend_->device());
    n_blocks_ = std::clamp(input.plan.max_rows / input.plan.block, 1, input.plan.n_streams);
    forward_ =
        std::make_unique<Forward>(model_, *backend_, std::max(input.plan.max_rows, input.n_writers),
                                  std::max(n_blocks_, input.n_writers), input.plan.block);
    const double block = input.plan.block;
    is_short_ = input.document_tokens > 0.0 && input.document_tokens <= block;
    n_tokens_ = is_short_ ? std::max(1, static_cast<std::int32_t>(input.document_tokens))
                          : input.plan.block;
    one_.emplace(*backend_, n_blocks_);
    two_.emplace(*backend_, n_blocks_);
  }

  Calibration run() {
    const double start = now_s();
    fill();
    const std::int64_t state_tokens = one_->position();
    double filled = now_s();
    timed(1, true);
    std::vector<double> one, two, with_head;
    for (int i = 0; i < kMostRepeats; ++i) {
      const double gone = now_s() - filled;
      if (i >= kFewestRepeats && gone > kEnoughSeconds) break;
      if (i >= 2 && gone > kTooManySeconds) break;
      one.push_back(timed(1, false));
      two.push_back(timed(2, false));
      with_head.push_back(timed(1, true));
    }
    Calibration c{.n_rows = n_blocks_ * n_tokens_,
                  .n_blocks = n_blocks_,
                  .state_tokens = state_tokens,
                  .n_repeats = static_cast<int>(one.size())};
    c.layer_s = n_layers_ > 1 ? std::max(0.0, median(two) - median(one)) : median(one);
    c.head_s = std::max(0.0, median(with_head) - median(one));
    c.other_s = std::max(0.0, median(one) - c.layer_s);
    c.step_s = c.layer_s * n_layers_ + c.head_s + c.other_s;
    if (input_.n_writers > 0) write(c);
    c.seconds = now_s() - start;
    return c;
  }

 private:
  // Up to where the state of a bounded policy is full, or half the way through an average document.
  std::int64_t wanted() const {
    const CacheOptions& cache = input_.backend.cache;
    double length = input_.document_tokens > 0.0 ? input_.document_tokens : kFullestState;
    if (cache.chunk_tokens > 0) length = std::min<double>(length, cache.chunk_tokens);
    const double most = is_bounded(cache) ? cache.cache_size : kFullestState;
    return static_cast<std::int64_t>(std::min(most, length / 2.0));
  }

  void fill() {
    while (!is_short_ && one_->position() < wanted()) {
      timed(1, false);
      timed(2, false);
    }
  }

  // Steps of writing, from states as full as those of reading are.
  void write(Calibration& c) {
    one_.emplace(*backend_, input_.n_writers);
    two_.emplace(*backend_, input_.n_writers);
    const auto timed = [&](int n, bool has_head) {
      const FirstLayers layers(model_, n);
      return (n == 1 ? one_ : two_)->write(*forward_, input_.ids, has_head);
    };
    for (const int n : {1, 2}) {
      const FirstLayers layers(model_, n);
      (n == 1 ? one_ : two_)
          ->fill(*forward_, *backend_, input_.ids, is_short_ ? n_tokens_ : wanted(),
                 input_.plan.block);
    }
    timed(1, true);
    std::vector<double> one, two, with_head;
    const double start = now_s();
    for (int i = 0; i < kMostRepeats; ++i) {
      if (i >= kFewestRepeats && now_s() - start > kEnoughSeconds) break;
      one.push_back(timed(1, false));
      two.push_back(timed(2, false));
      with_head.push_back(timed(1, true));
    }
    const double layer_s = n_layers_ > 1 ? std::max(0.0, median(two) - median(one)) : median(one);
    c.n_writers = input_.n_writers;
    c.writing_s = layer_s * (n_layers_ - 1) + std::max(median(with_head), layer_s);
  }

  // A step of the first `n` layers.
  double timed(int n, bool has_head) {
    const FirstLayers layers(model_, n);
    return (n == 1 ? one_ : two_)
        ->step(*forward_, *backend_, input_.ids, n_tokens_, is_short_, has_head);
  }

  const CalibrationInput& input_;
  std::int32_t n_layers_;  // of the whole model
  std::unique_ptr<Backend> backend_;
  Model model_;
  std::unique_ptr<Forward> forward_;
  std::int32_t n_blocks_ = 1, n_tokens_ = 1;
  bool is_short_ = false;  // documents of a single block
  std::optional<Streams> one_, two_;
};

}  // namespace

void Calibration::add(const Calibration& other) {
  state_tokens = std::max(state_tokens, other.state_tokens);
  for (double Calibration::*part :
       {&Calibration::layer_s, &Calibration::head_s, &Calibration::other_s, &Calibration::step_s,
        &Calibration::writing_s, &Calibration::seconds})
    this->*part += other.*part;
}

Calibration calibrate(const ModelConfig& config, const ModelWeights& weights,
                      const CalibrationInput& input) {
  return Bench(config, weights, input).run();
}

}  // namespace tovamill
