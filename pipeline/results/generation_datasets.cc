#include "pipeline/results/generation_datasets.h"

#include <algorithm>
#include <limits>

namespace tovamill {
namespace {

constexpr std::size_t kLongestReason = 8;  // bytes
constexpr std::size_t kAnyLength = std::numeric_limits<std::size_t>::max();
// The expected number of texts of a document: the exact one is known only at the end. It bounds the
// chunks.
constexpr std::uint64_t kLeastExpected = 256;
constexpr const char* kEdges = "/generations/edge";
constexpr const char* kGenerations = "/generations/generation";
constexpr const char* kReferenceDimension = "/references/reference";
constexpr const char* kAboutReferences = "reference, text after text";
constexpr const char* kAboutReference = "reference that a generated text is compared with";

}  // namespace

std::string without_nul(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  for (const char c : text) {
    if (c == '\0')
      clean += "\xef\xbf\xbd";
    else
      clean += c;
  }
  return clean;
}

void overwrite_scores(Hdf5File& file, std::uint64_t first,
                      std::span<const std::optional<TextScores>> scores) {
  std::vector<double> best(scores.size()), mean(scores.size());
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  for (std::size_t k = 0; k < kTextScoreNames.size(); ++k) {
    for (std::size_t i = 0; i < scores.size(); ++i) {
      best[i] = scores[i] ? scores[i]->best[k] : kNan;
      mean[i] = scores[i] ? scores[i]->mean[k] : kNan;
    }
    const std::string path = std::string("/generations/") + kTextScoreNames[k];
    file.overwrite<double>(path, first, best);
    file.overwrite<double>(path + "_mean", first, mean);
  }
}

void replace_references(Hdf5File& file, std::span<const std::vector<std::string>> references) {
  std::vector<std::uint32_t> n_of;
  std::vector<std::uint64_t> offsets{0};
  file.remove("/references");
  file.create_group("/references");
  Hdf5StringAppender texts(file, "/references/text",
                           {.long_name = kAboutReference,
                            .units = "1",
                            .scales = {kReferenceDimension},
                            .expected = std::max<std::uint64_t>(references.size(), kLeastExpected)},
                           kAnyLength);
  for (const std::vector<std::string>& of_text : references) {
    for (const std::string& reference : of_text) texts.append(without_nul(reference));
    n_of.push_back(static_cast<std::uint32_t>(of_text.size()));
    offsets.push_back(offsets.back() + of_text.size());
  }
  file.create_dimension(kReferenceDimension, offsets.back(), kAboutReferences);
  texts.finish();
  file.overwrite<std::uint32_t>("/generations/n_references", 0, n_of);
  file.overwrite<std::uint64_t>("/generations/reference_offsets", 0, offsets);
}

Hdf5DatasetOptions GenerationDatasets::about(const std::string& long_name, const std::string& units,
                                             const std::string& scale) const {
  return {.long_name = long_name,
          .units = units,
          .scales = {scale},
          .expected = std::max(n_documents_, kLeastExpected)};
}

void GenerationDatasets::create() {
  file_.create_group("/generations");
  file_.create_group("/references");
  document_.emplace(file_, "/generations/document", about("row of /documents"));
  id_.emplace(file_, "/generations/id", about("identifier of the document"), longest_id_);
  question_.emplace(file_, "/generations/question",
                    about("which of the document's questions, from 0"));
  sample_.emplace(file_, "/generations/sample", about("which sample of the question, from 0"));
  question_text_.emplace(file_, "/generations/question_text",
                         about("question; empty where the document has none"), kAnyLength);
  text_.emplace(file_, "/generations/text", about("generated text"), kAnyLength);
  n_prompt_tokens_.emplace(
      file_, "/generations/n_prompt_tokens",
      about("tokens that the text was generated after, the document's included", "tokens"));
  n_new_tokens_.emplace(file_, "/generations/n_new_tokens",
                        about("tokens generated, an end token included", "tokens"));
  finish_reason_.emplace(
      file_, "/generations/finish_reason",
      about("why the text ends: stop (end token or stop string), length (most new tokens)"),
      kLongestReason);
  prompt_hash_.emplace(file_, "/generations/prompt_hash", about("hash of the prompt's token ids"),
                       kHashDigits);
  n_references_of_.emplace(file_, "/generations/n_references",
                           about("references that the text is compared with", "references"));
  create_scores();
  token_id_.emplace(file_, "/generations/token_id",
                    about("vocabulary id of a generated token", "1", "/generations/token"));
  token_offsets_.emplace(
      file_, "/generations/token_offsets",
      about("first of a text's tokens in token_id; the last entry is the number of all", "tokens",
            kEdges));
  reference_offsets_.emplace(
      file_, "/generations/reference_offsets",
      about("first of a text's references in /references; the last entry is the number of all",
            "references", kEdges));
  reference_.emplace(file_, "/references/text", about(kAboutReference, "1", kReferenceDimension),
                     kAnyLength);
}

void GenerationDatasets::create_scores() {
  for (std::size_t i = 0; i < kTextScoreNames.size(); ++i) {
    const std::string name = kTextScoreNames[i], path = "/generations/" + name;
    scores_.best[i].emplace(file_, path,
                            about(name + ", the highest over the references; NaN without any"));
    scores_.mean[i].emplace(file_, path + "_mean",
                            about(name + ", the mean over the references; NaN without any"));
  }
}

void GenerationDatasets::add(const DocumentRecord& record, std::uint64_t document) {
  for (const Generation& generation : record.generations) {
    if (!document_) create();
    document_->append(document);
    id_->append(record.id);
    add(generation);
  }
}

void GenerationDatasets::add(const Generation& g) {
  question_->append(g.question);
  sample_->append(g.sample);
  question_text_->append(without_nul(g.question_text));
  text_->append(without_nul(g.text));
  n_prompt_tokens_->append(g.n_prompt_tokens);
  n_new_tokens_->append(g.n_new_tokens);
  finish_reason_->append(name_of(g.finish_reason));
  prompt_hash_->append(g.prompt_hash);
  n_references_of_->append(static_cast<std::uint32_t>(g.references.size()));
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  for (std::size_t i = 0; i < kTextScoreNames.size(); ++i) {
    scores_.best[i]->append(g.scores ? g.scores->best[i] : kNan);
    scores_.mean[i]->append(g.scores ? g.scores->mean[i] : kNan);
  }
  token_offsets_->append(n_tokens_);
  token_id_->append(g.ids);
  n_tokens_ += g.ids.size();
  reference_offsets_->append(n_references_);
  for (const std::string& reference : g.references) reference_->append(without_nul(reference));
  n_references_ += g.references.size();
}

void GenerationDatasets::finish(bool wanted) {
  if (!document_ && !wanted) return;
  if (!document_) create();
  token_offsets_->append(n_tokens_);
  reference_offsets_->append(n_references_);
  file_.create_dimension(kGenerations, document_->n_columns(),
                         "generated text, in the order of file, byte offset, question and sample");
  file_.create_dimension(kEdges, token_offsets_->n_columns(), "edge between texts");
  file_.create_dimension("/generations/token", n_tokens_, "generated token, text after text");
  file_.create_dimension(kReferenceDimension, n_references_, kAboutReferences);
  for (auto* column :
       {&document_, &n_prompt_tokens_, &n_new_tokens_, &token_offsets_, &reference_offsets_})
    (*column)->finish();
  for (auto* column : {&question_, &sample_, &n_references_of_}) (*column)->finish();
  for (auto* column : {&id_, &question_text_, &text_, &finish_reason_, &prompt_hash_, &reference_})
    (*column)->finish();
  token_id_->finish();
  for (auto* columns : {&scores_.best, &scores_.mean}) {
    for (auto& column : *columns) column->finish();
  }
}

}  // namespace tovamill
