#include "workers/documents/sweep_work.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "kernels/types/format.h"
#include "workers/lease/run_journal.h"

namespace tovamill {

SweepWork::SweepWork(LoadedModel& model, const RunOptions& options, Sweep sweep)
    : sweep_(std::move(sweep)),
      tokenizer_(*model.tokenizer, n_tokenizer_threads(options),
                 classifier_of(options, *model.tokenizer)),
      parse_special_(options.parse_special) {
  for (std::size_t i = 0; i < sweep_.settings.size(); ++i) {
    const RunOptions& setting = sweep_.settings[i].options;
    StepRunner& runner = i == 0 ? *model.runner : *model.others[i - 1].runner;
    StateKeeper& states = i == 0 ? *model.states : *model.others[i - 1].backend;
    settings_.push_back({.work = std::make_unique<ScoreWork>(model, setting, runner, states)});
  }
}

bool SweepWork::has_room() const {
  return std::all_of(settings_.begin(), settings_.end(),
                     [](const Setting& s) { return s.work->has_room(); });
}

std::unique_ptr<DocumentInFlight> SweepWork::open(CorpusRecord& record) {
  const std::uint64_t n_bytes = record.n_bytes;
  CorpusRecord without_text = record;
  without_text.text.clear();
  const std::shared_future<TextTokens> text = tokenizer_.start(record.text, parse_special_).share();
  std::vector<std::unique_ptr<DocumentStream>> streams;
  for (Setting& s : settings_) {
    streams.push_back(s.work->open(without_text, text));
    if (streams.back()) continue;
    streams.pop_back();
    for (std::size_t i = 0; i < streams.size(); ++i)
      settings_[i].work->close(std::move(streams[i]));
    return nullptr;
  }
  record = {};
  auto document = std::make_unique<SweepDocument>(sweep_, n_bytes, std::move(streams));
  if (document->rejection().empty()) documents_.push_back(document.get());
  return document;
}

// Calls take(work) for each setting with documents, which returns the tokens that it took; then
// gives back the states of streams that are through before the others of their document.
template <class Take>
std::size_t SweepWork::each_setting(Take&& take) {
  std::size_t n_tokens = 0;
  for (Setting& s : settings_) {
    if (s.work->n_open() == 0) continue;
    const double start = now_s();
    const std::size_t n = take(*s.work);
    s.seconds += now_s() - start;
    s.n_tokens += n;
    n_tokens += n;
  }
  for (SweepDocument* document : documents_) {
    for (std::size_t i = 0; i < settings_.size(); ++i) {
      if (auto stream = document->release_finished(i)) settings_[i].work->close(std::move(stream));
    }
  }
  return n_tokens;
}

std::size_t SweepWork::step() {
  return each_setting([](ScoreWork& work) { return work.step(); });
}

std::size_t SweepWork::drain() {
  return each_setting([](ScoreWork& work) { return work.drain(); });
}

void SweepWork::close(std::unique_ptr<DocumentInFlight> closed) {
  auto& document = static_cast<SweepDocument&>(*closed);
  documents_.remove(&document);
  for (std::size_t i = 0; i < settings_.size(); ++i) {
    if (auto stream = document.release(i)) settings_[i].work->close(std::move(stream));
  }
}

std::string SweepWork::description() const {
  return counted(sweep_.settings.size(), "setting") + ": " + sweep_.names();
}

std::string SweepWork::statistics() const {
  nlohmann::json settings = nlohmann::json::array();
  for (std::size_t i = 0; i < settings_.size(); ++i)
    settings.push_back({{"name", sweep_.settings[i].name},
                        {"tokens", settings_[i].n_tokens},
                        {"seconds", settings_[i].seconds}});
  return nlohmann::json{{"settings", settings}}.dump();
}

}  // namespace tovamill
