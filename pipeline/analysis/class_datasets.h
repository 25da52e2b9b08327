// /analysis of results.h5 (io/README.md, "/analysis"): how long tokens of each class stay in the
// states, layer by layer, over all documents.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "io/results/hdf5_file.h"
#include "pipeline/analysis/ratio_sums.h"
#include "pipeline/run_directory/document_record.h"

namespace tovamill {

class ClassDatasets {
 public:
  // In (file, offset) order. Throws BadData where the records are of different models or options.
  void add(const DocumentRecord& record);
  // Writes the group; nothing where no document has classes.
  void write(Hdf5File& file) const;

 private:
  struct Class {
    std::uint64_t n_tokens = 0;
    std::vector<ClassCounters> sums;   // (n_layers)
    std::vector<RatioSums> lifetimes;  // (n_layers) steps per entry in a state
    RatioSums lifetime;                // of all layers
  };
  using Classes = std::vector<std::pair<std::string, const Class*>>;  // in the order of the file
  Classes classes_of(bool tags) const;
  void write_layers(Hdf5File& file) const;
  void write_classes(Hdf5File& file, const std::string& group, const Classes& classes) const;
  void write_by_layer(Hdf5File& file, const std::string& group, const Classes& classes) const;

  bool lacks_ = false;                                     // a document before had no classes
  std::vector<StateCounters> states_;                      // (n_layers)
  std::map<std::pair<bool, std::string>, Class> classes_;  // by whether it is a tag, and name
};

}  // namespace tovamill
