// Made-up .jsonl files with everything that makes cutting them hard, and cuts.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "io/corpus/corpus.h"

namespace tovamill::testing {

// About `n_lines` lines: records with and without ids, broken ones, ones longer than
// `kShortRecords`, blank lines of several kinds, both line endings; sometimes a byte order mark in
// front or no newline at the end.
std::string random_jsonl(std::mt19937& random, int n_lines);
inline constexpr std::uint64_t kShortRecords = 200;  // bytes, for max_record_bytes

// The options for reading them, with that bound; `path` where the corpus is to be listed.
CorpusOptions short_records(const std::string& path = "");

// A partition of [0, n_bytes) into ranges that are cut anywhere, some of them a byte long; the last
// ends at n_bytes or kToTheEnd.
std::vector<CorpusRange> random_ranges(std::mt19937& random, std::uint64_t n_bytes);

}  // namespace tovamill::testing
