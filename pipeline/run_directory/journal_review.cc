#include "pipeline/run_directory/journal_review.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "io/files/system_facts.h"
#include "io/results/journal.h"

namespace tovamill {
namespace {

std::string as_text(std::span<const std::byte> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// SIGKILL leaves no trace, but the kernel counts the processes that it kills when memory runs out.
// `header` holds that count at the start of the journal. True if it is of this host and the count
// is higher now.
bool memory_ran_out_since(const std::string& header) {
  const nlohmann::json h = nlohmann::json::parse(header, nullptr, false);
  if (!h.is_object()) return false;
  const auto boot = h.find("boot_id"), kills = h.find("oom_kills");
  if (boot == h.end() || !boot->is_string() || kills == h.end() || !kills->is_number_unsigned())
    return false;
  const std::string id = boot_id();
  return !id.empty() && boot->get<std::string>() == id &&
         n_oom_kills() > kills->get<std::uint64_t>();
}

class Review {
 public:
  using Visit = std::function<void(const RecordKey&, std::uint64_t position)>;
  explicit Review(const Visit& visit) : visit_(visit) {}

  void add(const JournalReader& reader, const std::string& where) {
    switch (reader.kind()) {
      case JournalEntry::header:
        review_.header = as_text(reader.payload());
        break;
      case JournalEntry::footer:
        review_.footer = as_text(reader.payload());
        break;
      case JournalEntry::crash:
        review_.crash = decode_crash(reader.payload(), where).text;
        break;
      case JournalEntry::document:
        add_document(decode_key(reader.payload(), where), reader.position());
        break;
      case JournalEntry::span:
        add_span(decode_span(reader.payload(), where));
        break;
      case JournalEntry::begun:
        add_begun(decode_begun(reader.payload(), where));
        break;
      case JournalEntry::input:  // of another file
      case JournalEntry::model_input:
        break;
    }
  }

  JournalReview take(std::uint64_t n_ignored) {
    review_.n_ignored = n_ignored;
    if (review_.footer.empty() && review_.crash.empty() && memory_ran_out_since(review_.header))
      review_.crash = "the kernel killed processes of this host for want of memory";
    std::vector<std::pair<std::uint64_t, Begun>> in_order;
    for (const auto& [document, number] : open_) in_order.emplace_back(number, document);
    std::sort(in_order.begin(), in_order.end());
    for (const auto& [number, document] : in_order)
      review_.unfinished.push_back({review_.files[document.first], document.second});
    return std::move(review_);
  }

 private:
  using Begun = std::pair<std::size_t, std::uint64_t>;  // file and offset

  std::size_t number_of(const std::string& file) {
    const auto [at, is_new] = numbers_.try_emplace(file, review_.files.size());
    if (is_new) {
      review_.files.push_back(file);
      review_.done.emplace_back();
    }
    return at->second;
  }

  void add_document(const RecordKey& key, std::uint64_t position) {
    const std::size_t file = number_of(key.file);
    review_.done[file].add(key.span_begin, key.span_end);
    open_.erase({file, key.offset});
    ++review_.n_documents;
    review_.n_failed += key.status == DocumentRecord::Status::failed;
    review_.n_tokens += key.n_tokens;
    if (visit_) visit_(key, position);
  }

  void add_span(SpanEntry span) {
    review_.done[number_of(span.file)].add(span.begin, span.end);
    review_.spans.push_back(std::move(span));
  }

  void add_begun(const BegunEntry& begun) {
    open_.try_emplace({number_of(begun.file), begun.offset}, review_.n_begun);
    ++review_.n_begun;
  }

  const Visit& visit_;
  JournalReview review_;
  std::unordered_map<std::string, std::size_t> numbers_;  // of files
  std::map<Begun, std::uint64_t> open_;                   // documents that are begun, and when
};

}  // namespace

JournalReview review_journal(
    const std::string& path,
    const std::function<void(const RecordKey&, std::uint64_t position)>& visit) {
  JournalReader reader(path);
  Review review(visit);
  while (reader.next())
    review.add(reader, "'" + path + "' at byte " + std::to_string(reader.position()));
  return review.take(reader.n_ignored());
}

}  // namespace tovamill
