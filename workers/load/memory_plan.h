// How many streams and rows a step has, and what memory that takes.
#pragma once

#include <cstdint>
#include <span>

#include "engine/model/model.h"
#include "kernels/backend.h"
#include "workers/options/run_options.h"

namespace tovamill {

struct StepPlan {
  std::int32_t block = kRopeSegmentTokens;  // tokens of one stream in a step
  std::int32_t n_streams = 1;
  std::int32_t n_wanted = 0;  // streams that there would be with more memory; 0: not known
  std::int32_t max_rows = kRopeSegmentTokens;
  std::int32_t full_rows = kRopeSegmentTokens;  // that products need for their full rate
  std::int32_t n_in_flight = 1;                 // steps in flight at once
  std::uint64_t state_budget = 0;               // bytes of all states together at most
};

// Bytes of the weights of some layers as they are kept in memory.
std::uint64_t packed_bytes(const ModelShape& shape, const LayerRange& range, StorageType storage);

// The block, and the streams that are wanted on the device of the options, which is cpu or cuda;
// the rows are not set.
StepPlan plan_rows(const RunOptions& options);
// As many rows as the streams fill, up to enough for products at their full rate.
void set_rows(StepPlan& plan);
// Fewer rows for the full rate where activations, of all settings together, would take more than a
// quarter of `available_bytes`.
void limit_rows(StepPlan& plan, const ModelShape& shape, std::span<const CacheOptions> caches,
                std::uint64_t available_bytes);
// Half as many rows for the full rate, where memory has ended; false where they are few already.
bool halve_rows(StepPlan& plan);
// Whether each stream's state takes the same bytes however long it is.
bool has_constant_states(const RunOptions& options);
// Bytes of all settings of a run together.
struct StreamBytes {
  std::uint64_t each = 0;       // states of one document
  std::uint64_t workspace = 0;  // of the backends
  std::uint64_t buffers = 0;    // activations
  void add(const Backend& backend, std::uint64_t buffer_bytes);
};
// As many streams as fit `budget` bytes, at most those planned; and what is left for their states.
// Throws Error(configuration) where one does not fit, or not as many as the options ask for.
void fit_streams(StepPlan& plan, const RunOptions& options, const StreamBytes& bytes,
                 std::uint64_t budget);

}  // namespace tovamill
