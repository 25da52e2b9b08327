// results.h5 as text, for people without HDF5, and a description of one.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>

#include "pipeline/analysis/analysis_rows.h"

namespace tovamill {

enum class ExportFormat { csv, jsonl };
ExportFormat export_format_named(std::string_view name);  // "csv", "jsonl"; throws Error(usage)

struct ExportOptions {
  ExportFormat format = ExportFormat::csv;
  // What --token-nll stored, Error(usage) if it is not there; of generated texts their ids.
  bool tokens = false;
  std::string setting = {};  // of a sweep; empty: all of them
  // This table in the place of the documents (analysis_rows.h): --nll-by-position, --analysis.
  std::optional<AnalysisTable> table = std::nullopt;
  bool probe = false;  // what the probes come to (probe_results.h), as CSV
};

// A row or object per document, in the file's order, failed ones included with their reason: the
// columns of /documents, perplexity_token, perplexity_word, bits_per_byte, failure_reason,
// failure_text. Numbers have the digits that read back the same. Values that are NaN are empty in
// CSV and null in JSON.
//   csv: a header line, RFC 4180 quoting, lines end with \n. With `tokens` the table is another
//   one, a row per token:
//        id, file, offset, token, token_id, nll.
//   jsonl: with `tokens` each object has token_ids and token_nll. Bytes that are not UTF-8 become
//   U+FFFD.
// A file with /generations gives a row or object per generated text and per failed document:
//   csv: id, file, line, offset, status (generated, failed), question, question_index, sample,
//        prompt_tokens, new_tokens, finish_reason, text, references (a JSON array), rouge1, ...,
//        exact_match, rouge1_mean, ..., prompt_hash, failure_reason, failure_text, and with
//        `tokens` token_ids (separated by blanks); a value that a row lacks is empty.
//   jsonl: generation_json.h.
// Memory is constant (a document's tokens aside). Throws Error(no_input), BadData (not a results
// file, or another schema), Error(io) as soon as writing to `out` fails (a broken pipe: SIGPIPE
// must be ignored).
void export_results(const std::string& path, const ExportOptions& options, std::ostream& out);

// A sweep gives the rows of one setting, as a run of it alone would; or those of all its settings,
// one after another, with its name in a last column or key `setting`. Throws Error(usage) for one
// that it does not have.
//
// What the first line of the CSV of all settings has behind the others.
inline constexpr const char* kSettingColumn = ",setting";
// The first lines of the CSV of documents, of tokens and of a table.
std::string document_csv_header();
std::string token_csv_header();
std::string analysis_csv_header(AnalysisTable table);

// For `tovamill inspect`: groups, datasets with shape and type, attributes, and whether the run was
// complete. Works for any HDF5 file. Throws as above.
std::string describe_results(const std::string& path);

}  // namespace tovamill
