#include <algorithm>
#include <vector>

#include "io/results/journal.h"
#include "jobs/commands/inspect_parts.h"
#include "kernels/types/error.h"
#include "pipeline/run_directory/document_record.h"
#include "pipeline/run_directory/journal_entries.h"

namespace tovamill {

using Json = nlohmann::ordered_json;

namespace {

// Headers and footers are JSON texts.
Json json_of(std::span<const std::byte> payload) {
  const auto* text = reinterpret_cast<const char*>(payload.data());
  return Json::parse(text, text + payload.size(), nullptr, false);
}

// What the journal of a job that writes texts holds.
struct Texts {
  std::uint64_t n = 0, n_new_tokens = 0, n_stop = 0, n_with_references = 0;

  void add(const Generation& g) {
    ++n;
    n_new_tokens += g.n_new_tokens;
    n_stop += g.finish_reason == FinishReason::stop;
    n_with_references += !g.references.empty();
  }
  void write(Json& object) const {
    object["texts"] = n;
    object["new_tokens"] = n_new_tokens;
    object["texts_stop"] = n_stop;
    object["texts_length"] = n - n_stop;
    object["texts_with_references"] = n_with_references;
  }
};

}  // namespace

Json inspect_journal(const std::string& path) {
  std::uint64_t n_done = 0, n_failed = 0, n_tokens = 0, n_entries = 0, n_begun = 0;
  Texts texts;
  std::string crash;
  double nll_sum = 0.0;
  std::vector<double> nll_of_settings;  // of a sweep
  Json header, footer;
  const std::uint64_t torn_bytes =
      read_journal(path, [&](JournalEntry kind, std::span<const std::byte> payload) {
        ++n_entries;
        if (kind == JournalEntry::header) header = json_of(payload);
        if (kind == JournalEntry::footer) footer = json_of(payload);
        if (kind == JournalEntry::begun) ++n_begun;
        if (kind == JournalEntry::crash) crash = decode_crash(payload, path).text;
        if (kind != JournalEntry::document) return;
        const DocumentRecord record = decode_document(payload, path);
        ++(record.status == DocumentRecord::Status::failed ? n_failed : n_done);
        n_tokens += record.n_tokens;
        nll_sum += record.nll_sum;
        nll_of_settings.resize(std::max(nll_of_settings.size(), record.settings.size()));
        for (std::size_t i = 0; i < record.settings.size(); ++i)
          nll_of_settings[i] += record.settings[i].nll_sum;
        for (const Generation& g : record.generations) texts.add(g);
        for (const DocumentRecord& setting : record.settings) {
          for (const Generation& g : setting.generations) texts.add(g);
        }
      });
  if (n_entries == 0 && torn_bytes > 0) {
    throw BadData(path +
                  " is neither a model, a results.h5 nor a journal: nothing in it can be read");
  }
  const bool names_job = header.is_object() && header.contains("job") && header["job"].is_string();
  const std::string job = names_job ? header["job"].get<std::string>() : "score";
  const bool generates = job != "score" || texts.n > 0;
  Json object{{"kind", "journal"}, {"path", path}, {"job", job}};
  object[generates ? "documents_generated" : "documents_scored"] = n_done;
  object["documents_failed"] = n_failed;
  object["tokens"] = n_tokens;
  if (generates)
    texts.write(object);
  else if (nll_of_settings.empty())
    object["nll_sum"] = nll_sum;
  else
    object["nll_sum"] = nll_of_settings;
  object["documents_begun"] = n_begun;
  object["crash"] = crash;
  object["torn_bytes"] = torn_bytes;
  object["header"] = header;
  object["footer"] = footer;
  return object;
}

}  // namespace tovamill
