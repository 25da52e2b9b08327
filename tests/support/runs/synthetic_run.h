// Run directories with made-up documents, for the tests of everything that reads journals.
#pragma once

#include <string>
#include <vector>

#include "pipeline/results/results_writer.h"
#include "pipeline/run_directory/document_record.h"

namespace tovamill::testing {

struct SyntheticOptions {
  int n_layers = 3;
  bool tokens = false;
  bool trace = false;
  int mean_tokens = 40;
  bool generations = false;  // texts instead of scores
};

// The i-th document: a function of `i` and the options alone; one in ten failed, one in fifty
// without words. With `generations` one in five has no texts, the others have two samples of one to
// three questions, some with references; among them empty, long and non-ASCII texts.
DocumentRecord synthetic_document(int i, const SyntheticOptions& options = {});

// The first `n` of them.
std::vector<DocumentRecord> synthetic_documents(int n, const SyntheticOptions& options = {});

// Of the results of such documents.
ResultsHeader synthetic_header(const std::string& policy = "tova", std::int64_t cache_size = 512);

// Writes documents to the journal of a rank and launch, with header (of the job `generate` where
// there are texts) and, unless `killed`, footer.
void write_journal(const std::string& run_directory, int rank, int launch,
                   const std::vector<DocumentRecord>& documents, bool killed = false);

}  // namespace tovamill::testing
