#include "pipeline/results/sweep_groups.h"

#include <limits>

#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr double kNoDifference = std::numeric_limits<double>::quiet_NaN();

std::string group_of_setting(const std::string& name) { return "/sweep/" + name; }

bool is_scored(const DocumentRecord& r) { return r.status == DocumentRecord::Status::scored; }

}  // namespace

SweepGroups::SweepGroups(Hdf5File& file, std::span<const SettingHeader> settings,
                         const ResultsSizes& sizes)
    : file_(file), documents_(sizes.generates) {
  file_.create_group("/sweep");
  std::string names;
  for (const SettingHeader& s : settings) {
    const std::string group = group_of_setting(s.name);
    file_.create_group(group);
    for (const auto& [option, value] : s.options) file_.set_attribute(group, option, value);
    if (s.is_baseline) baseline_ = settings_.size();
    names += (names.empty() ? "" : " ") + s.name;
    Setting setting{.name = s.name,
                    .results = std::make_unique<ResultsGroup>(file_, group, sizes),
                    .differences = std::nullopt,
                    .paired = {},
                    .by_position = {}};
    if (!sizes.generates) make_differences(setting, sizes);
    settings_.push_back(std::move(setting));
  }
  file_.set_attribute("/sweep", "settings", names);
  file_.set_attribute("/sweep", "baseline", settings_[baseline_].name);
}

void SweepGroups::make_differences(Setting& setting, const ResultsSizes& sizes) {
  const std::string group = group_of_setting(setting.name);
  file_.create_group(group + "/paired");
  setting.differences.emplace(
      file_, group + "/paired/nll_difference",
      Hdf5DatasetOptions{.long_name = "mean NLL of the document's scored tokens, less that of the "
                                      "baseline; NaN where not both have scored it",
                         .units = "nats",
                         .scales = {group + "/documents/document"},
                         .expected = sizes.n_documents});
}

void SweepGroups::add(const DocumentRecord& record) {
  if (!record.settings.empty() && record.settings.size() != settings_.size())
    throw BadData("the record of " + record.file + " at byte " + std::to_string(record.offset) +
                  " has " + std::to_string(record.settings.size()) + " settings, the sweep has " +
                  std::to_string(settings_.size()) + ": the journal is damaged");
  documents_.add(record);
  const auto of = [&](std::size_t i) -> const DocumentRecord& {
    return record.settings.empty() ? record : record.settings[i];
  };
  const DocumentRecord& baseline = of(baseline_);
  for (std::size_t i = 0; i < settings_.size(); ++i) {
    Setting& s = settings_[i];
    const DocumentRecord& r = of(i);
    s.results->add(r);
    const bool are_scored = is_scored(r) && is_scored(baseline);
    if (are_scored) s.by_position.add(baseline.analysis, r.analysis);
    if (!s.differences) continue;
    s.differences->append(
        are_scored ? s.paired.add(baseline.nll_sum, baseline.n_scored, r.nll_sum, r.n_scored)
                   : kNoDifference);
  }
}

void SweepGroups::write_paired(const Setting& setting, const PairedSummary& paired) {
  const std::string group = group_of_setting(setting.name) + "/paired";
  const auto estimate = [&](const std::string& name, const Estimate& e) {
    file_.set_attribute(group, name, e.value);
    file_.set_attribute(group, name + "_se", e.standard_error);
  };
  file_.set_attribute(group, "baseline", settings_[baseline_].name);
  file_.set_attribute(group, "definition", kPairedDefinition);
  file_.set_attribute(group, "n_documents", static_cast<std::int64_t>(paired.n_documents));
  estimate("nll_difference", paired.nll_difference);
  estimate("nll_difference_macro", paired.nll_difference_macro);
  estimate("perplexity_ratio", paired.perplexity_ratio);
  setting.by_position.write(file_, group);
}

CorpusSummary SweepGroups::finish() {
  CorpusSummary all = documents_.finish();
  for (std::size_t i = 0; i < settings_.size(); ++i) {
    Setting& s = settings_[i];
    SettingSummary summary{.name = s.name,
                           .is_baseline = i == baseline_,
                           .summary = s.results->finish(),
                           .paired = s.paired.finish()};
    if (s.differences) {
      s.differences->finish();
      write_paired(s, summary.paired);
    }
    all.settings.push_back(std::move(summary));
  }
  return all;
}

}  // namespace tovamill
