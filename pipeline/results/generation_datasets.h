// /generations and /references of results.h5: a row for each generated text, in the order (file,
// offset, question, sample), and the references of each.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/results/hdf5_file.h"
#include "pipeline/run_directory/document_record.h"

namespace tovamill {

// A text as the columns hold it. A string of HDF5 ends at its first NUL, and a model may write one:
// each U+0000 is replaced by U+FFFD. The token ids are unchanged.
std::string without_nul(std::string_view text);

// Replaces the scores in an existing file from row `first` on; nothing gives NaN.
void overwrite_scores(Hdf5File& file, std::uint64_t first,
                      std::span<const std::optional<TextScores>> scores);
// Replaces the references of each row of /generations.
void replace_references(Hdf5File& file, std::span<const std::vector<std::string>> references);

class GenerationDatasets {
 public:
  // `n_documents` and `longest_id` (bytes) are those of /documents.
  GenerationDatasets(Hdf5File& file, std::uint64_t n_documents, std::size_t longest_id)
      : file_(file), n_documents_(n_documents), longest_id_(longest_id) {}

  // The texts of the record in row `document` of /documents, by question, then sample; the groups
  // are created with the first.
  void add(const DocumentRecord& record, std::uint64_t document);
  // Writes what is left. `wanted`: the groups are created also if no record had a text.
  void finish(bool wanted);

 private:
  using Counts = Hdf5Appender<std::uint64_t>;
  using Small = Hdf5Appender<std::uint32_t>;
  using Numbers = Hdf5Appender<double>;
  using Texts = Hdf5StringAppender;
  struct Scores {
    std::array<std::optional<Numbers>, kTextScoreNames.size()> best, mean;
  };

  void create();
  void create_scores();
  void add(const Generation& generation);
  Hdf5DatasetOptions about(const std::string& long_name, const std::string& units = "1",
                           const std::string& scale = "/generations/generation") const;

  Hdf5File& file_;
  std::uint64_t n_documents_;
  std::size_t longest_id_;
  std::uint64_t n_tokens_ = 0, n_references_ = 0;  // so far
  std::optional<Counts> document_, n_prompt_tokens_, n_new_tokens_, token_offsets_,
      reference_offsets_;
  std::optional<Small> question_, sample_, n_references_of_;
  std::optional<Texts> id_, question_text_, text_, finish_reason_, prompt_hash_, reference_;
  std::optional<Hdf5Appender<std::int32_t>> token_id_;
  Scores scores_;
};

}  // namespace tovamill
