#include "tests/support/corpus_records.h"

#include <gtest/gtest.h>

#include "io/corpus/record_reader.h"
#include "tests/support/temporary_directory.h"

namespace tovamill::testing {

std::vector<CorpusRecord> read_all(const CorpusFile& file, const CorpusOptions& options) {
  const auto reader = open_records(file, options);
  std::vector<CorpusRecord> records;
  for (CorpusRecord r; reader->next(r);) {
    EXPECT_NE(r.ok(), r.text.empty()) << r.failure_text;
    EXPECT_EQ(r.failure_text.find('\n'), std::string::npos);
    records.push_back(r);
  }
  CorpusRecord again;
  EXPECT_FALSE(reader->next(again));
  return records;
}

std::vector<CorpusRecord> read_bytes(const std::string& name, const std::string& bytes,
                                     CorpusOptions options) {
  TemporaryDirectory directory;
  options.paths = {directory.write(name, bytes)};
  return read_all(list_corpus(options).at(0), options);
}

}  // namespace tovamill::testing
