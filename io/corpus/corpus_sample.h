// A little of a corpus, taken evenly over its bytes, to estimate the whole from: how many records
// there are and what their texts look like, in about the same time whatever the size of the corpus.
//
// The files of one format are one stratum; its places lie at the middles of equal parts
// of its bytes. A place in a .txt gives the bytes from there on. In a .jsonl of short lines it
// gives the lines behind the next line ending, as many at every place as fill the first one, for a
// number that followed the lengths of the lines read would prefer short ones; where few lines would
// fill it, a part of the line that the place falls into, weighted by the inverse of its length
// (Hansen and Hurwitz 1943). Small files are read whole, with those behind them, until the place
// has enough. A compressed file is read from its start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "io/corpus/corpus.h"

namespace tovamill {

// What was read of one file at one place. Estimates are ratios of sums over the samples of a
// stratum: text bytes on disk bytes, records on disk bytes, tokens on the bytes of `texts`.
struct Sample {
  std::size_t file = 0;            // index into the files
  bool whole = false;              // all of the file was read
  std::uint64_t n_disk_bytes = 0;  // that the records stand for, bad ones and line endings included
  std::uint64_t n_text_bytes = 0;  // of the texts of the good records, decoded
  std::uint64_t n_records = 0;     // looked at: the lines of a .jsonl; 1 of a .txt, whole or not
  std::uint64_t n_bad = 0;         // of these; a file that cannot be read is one
  std::uint64_t n_questions = 0;   // of the good records; one of a record that asks nothing
  std::string question = {};       // the first of them
  // How often it counts in sums: a place falls into a long line the more often the longer it is.
  double weight = 1.0;
  std::vector<std::string> texts;  // parts of the texts, valid UTF-8, in order
};

struct SampleBudget {
  std::size_t n_places = 64;
  std::uint64_t n_bytes = 2u << 20;  // of `texts` in all; a corpus without more is read whole
};

// Deterministic. Throws nothing of its own for files: what cannot be read counts as bad.
std::vector<Sample> sample_corpus(const std::vector<CorpusFile>& files,
                                  const CorpusOptions& options, const SampleBudget& budget);

}  // namespace tovamill
