// A corpus of which only the names and sizes exist.
#pragma once

#include <cstdint>
#include <vector>

#include "io/corpus/corpus.h"

namespace tovamill {

struct SimulatedCorpus {
  std::vector<CorpusFile> files;
  // (files) offsets of the documents of a .jsonl file, its size at the end; empty for texts.
  std::vector<std::vector<std::uint64_t>> offsets;
  std::uint64_t n_documents = 0;
  std::uint64_t n_bytes = 0;
};
// Log-normal lengths with a median of 4 KiB. Texts have paths of about 70 bytes.
SimulatedCorpus simulated_lines(int n_files, int n_documents_each);
SimulatedCorpus simulated_texts(int n_documents);

}  // namespace tovamill
