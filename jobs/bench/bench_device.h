// What the GPU benchmarks share: a model on a device, streams of random tokens that go on and on,
// steps that are kept in flight, and what the device reaches by itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/forward.h"
#include "engine/model/model.h"
#include "io/model/model_files.h"
#include "kernels/backend.h"

namespace tovamill::bench {

struct Options {
  std::string model;
  DeviceKind device = DeviceKind::cuda;
  std::optional<ComputeType> dtype;         // none: what the device multiplies fastest
  int threads = 0;                          // of the host; 0: all cores that there are
  std::vector<std::int32_t> lanes{1, 2};    // steps in flight at once, one measurement each
  std::int32_t streams = 32;                // score, smollm: in a step
  std::int32_t block = kRopeSegmentTokens;  // tokens of a stream in a step
  std::int32_t cache_size = 512;
  std::int32_t document_tokens = 32768;
  std::int32_t chunk_tokens = 4096;  // of `full`
  std::int32_t most_streams = 4096;  // decode
  std::uint64_t memory = 0;          // bytes of the device, or of states on a CPU; 0: auto
  double seconds = 10.0;             // that a measurement takes at most, begun ones aside
  std::int32_t repeats = 5;          // windows that a median is taken of, at least 1
  std::vector<std::string> corpus;   // smollm
};

// The files of a model, opened once for all devices that are made of it.
struct OpenModel {
  explicit OpenModel(const std::string& path);
  std::unique_ptr<ModelFiles> files;
  ModelConfig config;
  ModelWeights weights;
};

// What is multiplied in where the options leave it open.
ComputeType dtype_of(const Options& options);

// Backend, packed weights and buffers. Throws as make_backend does.
struct Device {
  struct Setting {
    CacheOptions cache;
    std::int32_t max_rows = 1, max_blocks = 1;
    std::int32_t n_in_flight = 1;
    bool traces = false;
  };
  // Without weights where `is_shell`: to see what is left beside the buffers.
  Device(const OpenModel& model, const Options& options, const Setting& setting,
         bool is_shell = false);
  std::unique_ptr<Backend> backend;
  Model model;
  std::unique_ptr<Forward> forward;

  ComputeType dtype = ComputeType::f32;
  // That states may take: of the device what is left, less a hundredth; elsewhere `otherwise`.
  std::uint64_t bytes_for_states(std::uint64_t otherwise) const;
};

// Steps that a device of this kind keeps in flight where `wanted` are asked for.
std::int32_t in_flight_there(const OpenModel& model, const Options& options, std::int32_t wanted);

// What is asked of the end of each row.
enum class Head : std::uint8_t { nothing, likelihoods, greedy };

// Streams that take their blocks in one step, all at the same position.
class StreamGroup {
 public:
  // States of `n` streams, each with room for `n_tokens` where the policy is unbounded. Fewer where
  // memory ends before. Throws OutOfMemory where there is not one.
  StreamGroup(const Device& device, std::int32_t n, std::uint64_t seed, std::int64_t n_tokens);

  std::int32_t size() const { return static_cast<std::int32_t>(states_.size()); }
  std::int64_t position() const { return position_; }
  // The next step's, `n_tokens` of each stream; valid until the next call. Random tokens, or with
  // Head::greedy those that the step before chose.
  StepInput next(std::int32_t n_tokens, Head head);
  void restart();
  // Takes the first stream up to `position` alone and copies it to the others.
  void fill_by_copy(Forward& forward, std::int64_t position, std::int32_t block);

 private:
  std::int32_t random_token(std::size_t stream, std::int64_t position) const;

  Backend& backend_;
  std::int32_t vocab_size_;
  std::uint64_t seed_;
  std::vector<std::unique_ptr<StreamState>> states_;
  std::int64_t position_ = 0;
  std::vector<StepBlock> blocks_;
  std::vector<std::int32_t> ids_, targets_, rows_, chosen_;
};

// Keeps as many steps in flight as the runner takes.
class Pipeline {
 public:
  explicit Pipeline(StepRunner& runner) : runner_(runner) {}
  // Waits for the oldest step first where no more may be in flight.
  void submit(const StepInput& input);
  void collect();
  void drain();
  bool is_full() const { return n_in_flight_ == runner_.max_in_flight(); }
  std::uint64_t n_collected() const { return n_collected_; }
  double submit_seconds() const { return submit_s_; }  // that the host spent in submit

 private:
  StepRunner& runner_;
  std::int32_t n_in_flight_ = 0;
  std::uint64_t n_collected_ = 0;
  double submit_s_ = 0.0;
};

// One of the shapes that a layer, or the head, multiplies with.
struct ShapeRate {
  std::string name;
  std::int32_t n_out, n_in, per_model;
  double seconds;  // of one product; 0 where only the rate of all is known
};
struct GemmRate {
  double operations_per_s = 0.0;  // as a step of the model uses the shapes
  std::vector<ShapeRate> shapes;
};
// By cuBLASLt on a GPU, by one product of oneDNN on a CPU.
GemmRate measure_gemm_of(const OpenModel& model, const Options& options, std::int32_t n_rows);

struct Bandwidth {
  double copy = 0.0, read = 0.0;  // bytes per second; read 0: not known
};
Bandwidth measure_bandwidth(const Options& options);

}  // namespace tovamill::bench
