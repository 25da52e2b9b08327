// The records of a corpus file of a test.
#pragma once

#include <string>
#include <vector>

#include "io/corpus/corpus.h"

namespace tovamill::testing {

// All of a file, each checked: it is a text or a failure told in one line.
std::vector<CorpusRecord> read_all(const CorpusFile& file, const CorpusOptions& options);

// Those of a file of this name and these bytes.
std::vector<CorpusRecord> read_bytes(const std::string& name, const std::string& bytes,
                                     CorpusOptions options = {});

}  // namespace tovamill::testing
