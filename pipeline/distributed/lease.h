// What the coordinator gives a worker to do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/corpus/corpus_format.h"

namespace tovamill {

enum class LeaseMode : std::uint8_t {
  normal,
  alone,        // without other documents in flight: a rank died on it before
  quarantined,  // not computed any more, but journaled as a failure
};

struct LeasedRange {
  std::string path;
  CorpusFormat format;
  std::uint64_t file_bytes = 0;      // on disk
  std::uint64_t begin = 0, end = 0;  // places
  std::uint64_t n_bytes = 0;         // about what it costs
};

// The leases of a worker are numbered from 1.
struct Lease {
  std::uint64_t number = 0;
  LeaseMode mode = LeaseMode::normal;
  std::vector<LeasedRange> ranges;
  std::string note;  // quarantined: why, for /failures
};

}  // namespace tovamill
