// A document of a corpus as tests make it.
#pragma once

#include <cstdint>
#include <string>

#include "io/corpus/corpus.h"

namespace tovamill::testing {

inline CorpusRecord document(const std::string& text, int n = 0) {
  CorpusRecord record;
  record.id = std::to_string(n);
  record.file = "/corpus/a.txt";
  record.offset = static_cast<std::uint64_t>(n) * 1000;
  record.n_bytes = text.size();
  record.text = text;
  return record;
}

}  // namespace tovamill::testing
