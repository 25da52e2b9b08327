// The group /cache: statistics of the states over all documents, by layer and by vocabulary id.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/results/hdf5_file.h"
#include "pipeline/run_directory/document_record.h"

namespace tovamill {

// Counts are exact; sums of weights are float64 in the order of `add`.
class CacheStatistics {
 public:
  // Throws BadData naming the document if its number of layers is not that of the documents before.
  void add(const DocumentRecord& record);
  // Writes the group /cache; nothing if no document had layers.
  void write(Hdf5File& file) const;

 private:
  struct Layer {
    LayerCounters sums;
    std::uint64_t n_queries = 0;  // of all eviction groups
  };
  void write_layers(Hdf5File& file) const;
  void write_vocabulary(Hdf5File& file) const;

  std::vector<Layer> layers_;
  std::vector<TokenLifetime> vocabulary_;  // by id
};

}  // namespace tovamill
