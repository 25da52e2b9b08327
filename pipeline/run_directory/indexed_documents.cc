#include "pipeline/run_directory/indexed_documents.h"

#include <filesystem>
#include <optional>

#include "io/corpus/corpus_format.h"

namespace tovamill {

DocumentRecord IndexedDocuments::read(const DocumentLocation& at) {
  const std::string& path = index_.journals[at.journal].path;
  auto found = readers_.find(at.journal);
  if (found == readers_.end()) {
    if (readers_.size() >= kMostOpen) readers_.erase(readers_.begin());
    found = readers_.try_emplace(at.journal, path).first;
  }
  found->second.read(at.position);
  return decode_document(found->second.payload(),
                         "'" + path + "' at byte " + std::to_string(at.position));
}

std::string default_id(const std::string& file, std::uint64_t line, std::uint64_t offset) {
  const std::string name = std::filesystem::path(file).filename().string();
  const std::optional<CorpusFormat> format = format_of(file);
  if (format && format->is_one_record()) return name;
  return line > 0 ? name + ":" + std::to_string(line) : name + "@" + std::to_string(offset);
}

}  // namespace tovamill
