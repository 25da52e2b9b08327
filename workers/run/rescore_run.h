// The scores of the texts of a finished results.h5 computed again, from the texts and references in
// it or with other references: without the model and the corpus.
#pragma once

#include <cstdint>
#include <string>

#include "workers/run/corpus_run.h"

namespace tovamill {

struct RescoreOptions {
  std::string results = {};  // a results.h5
  std::string out = {};      // the file to write; empty: `results` itself
  bool stems = false;        // words for ROUGE
  // A .jsonl file (also compressed) whose records have the documents' ids (a record without one is
  // <file name>:<line>, as in a corpus) and the references of each question: a string, a list of
  // strings, or for several questions a list as long of either. Empty: those of `results`.
  std::string references = {};
  std::string id_key = "id", reference_key = "reference";
};

struct Rescored {
  RunSummary summary;
  std::uint64_t n_unmatched = 0;  // documents with texts that are not in the file of references
};

// Writes `out` whole or not at all (a copy beside it, fsync, rename). All else is as it was: what
// is written are the score columns of /generations, the attributes of /summary that tell of texts,
// text_scores_definition, a line of `history`, and with other references these.
// Throws Error(no_input) where a file is missing, BadData where `results` holds no texts or no text
// has a reference, or a record of the references is broken, doubled or not of the questions'
// number; Error(usage) for a file of references that is no .jsonl.
Rescored rescore(const RescoreOptions& options);

}  // namespace tovamill
