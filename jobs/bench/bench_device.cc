#include "jobs/bench/bench_device.h"

#include <algorithm>
#include <cstring>
#include <iostream>

#include "io/model/random_weights.h"
#include "jobs/bench/bench_table.h"
#include "kernels/gpu_measure.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/types/error.h"
#include "workers/load/memory_plan.h"
#include "workers/load/model_parts.h"

namespace tovamill::bench {

ComputeType dtype_of(const Options& options) {
  return options.dtype.value_or(automatic_dtype(options.device));
}

OpenModel::OpenModel(const std::string& path)
    : files(ModelFiles::open(path, ModelFiles::Parts::all)),
      config(config_of(*files)),
      weights(weights_of(*files, config)) {}

Device::Device(const OpenModel& m, const Options& options, const Setting& setting, bool is_shell)
    : dtype(dtype_of(options)) {
  backend = make_backend(options.device, {.shape = m.config.shape,
                                          .cache = setting.cache,
                                          .dtype = dtype,
                                          .n_threads = options.threads,
                                          .max_rows = setting.max_rows,
                                          .max_block = options.block,
                                          .n_in_flight = setting.n_in_flight,
                                          .traces = setting.traces,
                                          .device_bytes = options.memory});
  if (is_shell) {
    model.config = m.config;
  } else {
    model = pack_model(m.config, m.weights, backend->device());
  }
  forward = std::make_unique<Forward>(model, *backend, setting.max_rows, setting.max_blocks,
                                      options.block);
}

std::int32_t in_flight_there(const OpenModel& model, const Options& options, std::int32_t wanted) {
  const Device shell(
      model, options,
      {.cache = {}, .max_rows = options.block, .max_blocks = 1, .n_in_flight = wanted}, true);
  return shell.backend->n_in_flight();
}

std::uint64_t Device::bytes_for_states(std::uint64_t otherwise) const {
  const std::optional<std::uint64_t> left = backend->device().device_bytes_left();
  return left ? *left - *left / 100 : otherwise;
}

StreamGroup::StreamGroup(const Device& device, std::int32_t n, std::uint64_t seed,
                         std::int64_t n_tokens)
    : backend_(*device.backend),
      vocab_size_(device.model.config.shape.vocab_size),
      seed_(seed),
      chosen_(static_cast<std::size_t>(n), -1) {
  try {
    for (std::int32_t i = 0; i < n; ++i) {
      std::unique_ptr<StreamState> state = backend_.make_state();
      if (n_tokens > 0) backend_.reserve(*state, n_tokens, false);
      states_.push_back(std::move(state));
    }
  } catch (const OutOfMemory& e) {
    if (states_.empty()) throw;
    std::cerr << "only " << states_.size() << " of " << n << " streams: " << e.what() << "\n";
  }
}

std::int32_t StreamGroup::random_token(std::size_t stream, std::int64_t position) const {
  const std::uint64_t place = (seed_ + stream) << 40 | static_cast<std::uint64_t>(position);
  return static_cast<std::int32_t>(random_bits(place) % static_cast<std::uint64_t>(vocab_size_));
}

StepInput StreamGroup::next(std::int32_t n_tokens, Head head) {
  blocks_.clear();
  ids_.clear();
  targets_.clear();
  rows_.clear();
  for (std::size_t s = 0; s < states_.size(); ++s) {
    blocks_.push_back({.state = states_[s].get(),
                       .first_row = static_cast<std::int32_t>(ids_.size()),
                       .n_tokens = n_tokens,
                       .position = position_});
    for (std::int32_t t = 0; t < n_tokens; ++t) {
      const bool is_chosen = head == Head::greedy && t == 0 && chosen_[s] >= 0;
      ids_.push_back(is_chosen ? chosen_[s] : random_token(s, position_ + t));
      if (head == Head::likelihoods) targets_.push_back(random_token(s, position_ + t + 1));
    }
    if (head == Head::greedy) rows_.push_back(static_cast<std::int32_t>(ids_.size()) - 1);
  }
  position_ += n_tokens;
  return {.blocks = blocks_,
          .ids = ids_,
          .targets = targets_,
          .argmax_rows = rows_,
          .take_argmax = [this](std::size_t i, std::int32_t id) { chosen_[i] = id; }};
}

void StreamGroup::restart() {
  for (auto& state : states_) backend_.reset(*state);
  position_ = 0;
  seed_ += states_.size();
}

void StreamGroup::fill_by_copy(Forward& forward, std::int64_t position, std::int32_t block) {
  std::vector<std::unique_ptr<StreamState>> others(std::make_move_iterator(states_.begin() + 1),
                                                   std::make_move_iterator(states_.end()));
  states_.resize(1);
  while (position_ < position)
    forward.run(next(static_cast<std::int32_t>(std::min<std::int64_t>(block, position - position_)),
                     Head::nothing));
  for (auto& other : others) {
    backend_.copy(*states_.front(), *other);
    states_.push_back(std::move(other));
  }
}

void Pipeline::submit(const StepInput& input) {
  if (is_full()) collect();
  const double start = now_s();
  runner_.submit(input);
  submit_s_ += now_s() - start;
  ++n_in_flight_;
}

void Pipeline::collect() {
  runner_.collect();
  --n_in_flight_;
  ++n_collected_;
}

void Pipeline::drain() {
  while (n_in_flight_ > 0) collect();
}

GemmRate measure_gemm_of(const OpenModel& model, const Options& options, std::int32_t n_rows) {
  const ModelShape& s = model.config.shape;
  GemmRate rate;
  rate.shapes = {{"q, k, v", s.q_size() + 2 * s.kv_size(), s.hidden_size, s.n_layers, 0.0},
                 {"o", s.hidden_size, s.q_size(), s.n_layers, 0.0},
                 {"gate, up", 2 * s.intermediate_size, s.hidden_size, s.n_layers, 0.0},
                 {"down", s.hidden_size, s.intermediate_size, s.n_layers, 0.0},
                 {"head", s.vocab_size, s.hidden_size, 1, 0.0}};
  if (options.device != DeviceKind::cuda) {
    rate.operations_per_s = measure_gemm(dtype_of(options), options.threads);
    return rate;
  }
  std::vector<GemmShape> shapes;
  for (const ShapeRate& shape : rate.shapes) shapes.push_back({shape.n_out, shape.n_in});
  const auto timings = measure_gpu_gemm({.dtype = dtype_of(options), .n_rows = n_rows}, shapes);
  double operations = 0.0, seconds = 0.0;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    ShapeRate& shape = rate.shapes[i];
    shape.seconds = timings[i].seconds;
    operations += 2.0 * n_rows * shape.n_out * shape.n_in * shape.per_model;
    seconds += shape.seconds * shape.per_model;
  }
  rate.operations_per_s = operations / seconds;
  return rate;
}

Bandwidth measure_bandwidth(const Options& options) {
  if (options.device == DeviceKind::cuda) {
    const GpuBandwidth gpu = measure_gpu_bandwidth(0);
    return {.copy = gpu.copy, .read = gpu.read};
  }
  constexpr std::size_t kBytes = 64u << 20;
  constexpr int kCopies = 5;
  const std::vector<char> from(kBytes, 1);
  std::vector<char> to(kBytes);
  double best = 0.0;
  for (int i = 0; i < kCopies; ++i) {
    const double start = now_s();
    std::memcpy(to.data(), from.data(), kBytes);
    best = std::max(best, 2.0 * kBytes / (now_s() - start));
  }
  return {.copy = best, .read = 0.0};
}

}  // namespace tovamill::bench
