#include "workers/documents/sweep_work.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "kernels/types/format.h"
#include "workers/documents/generate_work.h"
#include "workers/lease/run_journal.h"
#include "workers/load/memory_plan.h"

namespace tovamill {

namespace {

// Texts whose states grow have equal parts of the memory for their states, or else as these are
// large.
std::uint64_t state_budget(const LoadedModel& model, const Sweep& sweep, std::size_t index) {
  const std::uint64_t all = model.plan.state_budget;
  for (const SweepSetting& s : sweep.settings) {
    if (!has_constant_states(s.options)) return all / sweep.settings.size();
  }
  const Backend& own = index == 0 ? *model.backend : *model.others[index - 1].backend;
  const double share = static_cast<double>(own.state_bytes()) /
                       static_cast<double>(std::max<std::uint64_t>(1, model.stream_bytes().each));
  return static_cast<std::uint64_t>(share * static_cast<double>(all));
}

}  // namespace

SweepWork::SweepWork(LoadedModel& model, const RunOptions& options, Sweep sweep)
    : sweep_(std::move(sweep)),
      tokenizer_(*model.tokenizer, n_tokenizer_threads(options),
                 classifier_of(options, *model.tokenizer)),
      parse_special_(options.parse_special) {
  for (std::size_t i = 0; i < sweep_.settings.size(); ++i)
    settings_.push_back(make_setting(model, i));
}

SweepWork::Setting SweepWork::make_setting(LoadedModel& model, std::size_t index) const {
  const RunOptions& options = sweep_.settings[index].options;
  StepRunner& runner = index == 0 ? *model.runner : *model.others[index - 1].runner;
  StateKeeper& states = index == 0 ? *model.states : *model.others[index - 1].backend;
  Setting setting;
  if (options.job_kind == Job::score) {
    auto work = std::make_unique<ScoreWork>(model, options, runner, states);
    setting.scoring = work.get();
    setting.work = std::move(work);
  } else {
    setting.work = std::make_unique<GenerateWork>(model, options, runner, states,
                                                  state_budget(model, sweep_, index));
  }
  return setting;
}

bool SweepWork::has_room() const {
  return std::all_of(settings_.begin(), settings_.end(),
                     [](const Setting& s) { return s.work->has_room(); });
}

std::unique_ptr<DocumentInFlight> SweepWork::open(CorpusRecord& record) {
  const std::uint64_t n_bytes = record.n_bytes;
  std::shared_future<TextTokens> text;
  CorpusRecord without_text;
  if (settings_.front().scoring) {
    without_text = record;
    without_text.text.clear();
    text = tokenizer_.start(record.text, parse_special_).share();
  }
  const auto open_in = [&](const Setting& s) -> std::unique_ptr<SweptDocument> {
    if (s.scoring) return s.scoring->open(without_text, text);
    CorpusRecord own = record;
    // What the work opens is of this kind.
    return std::unique_ptr<SweptDocument>(static_cast<SweptDocument*>(s.work->open(own).release()));
  };
  std::vector<std::unique_ptr<SweptDocument>> parts;
  for (Setting& s : settings_) {
    parts.push_back(open_in(s));
    if (parts.back()) continue;
    parts.pop_back();
    for (std::size_t i = 0; i < parts.size(); ++i) settings_[i].work->close(std::move(parts[i]));
    return nullptr;
  }
  record = {};
  auto document = std::make_unique<SweepDocument>(sweep_, n_bytes, std::move(parts));
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
      if (auto part = document->release_finished(i)) settings_[i].work->close(std::move(part));
    }
  }
  return n_tokens;
}

std::size_t SweepWork::step() {
  return each_setting([](DocumentWork& work) { return work.step(); });
}

std::size_t SweepWork::drain() {
  return each_setting([](DocumentWork& work) { return work.drain(); });
}

void SweepWork::close(std::unique_ptr<DocumentInFlight> closed) {
  auto& document = static_cast<SweepDocument&>(*closed);
  documents_.remove(&document);
  for (std::size_t i = 0; i < settings_.size(); ++i) {
    if (auto part = document.release(i)) settings_[i].work->close(std::move(part));
  }
}

std::string SweepWork::description() const {
  const std::string of_each = settings_.front().work->description();
  return counted(sweep_.settings.size(), "setting") + ": " + sweep_.names() +
         (of_each.empty() ? "" : "; " + of_each);
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
