#include "pipeline/results/results_writer.h"

#include <algorithm>
#include <limits>

#include "kernels/types/error.h"

namespace tovamill {

ResultsWriter::ResultsWriter(const std::string& path, const ResultsSizes& sizes,
                             std::span<const SettingHeader> settings)
    : file_(path, Hdf5File::Mode::create) {
  if (settings.empty()) {
    root_ = std::make_unique<ResultsGroup>(file_, "", sizes);
    return;
  }
  sweep_ = std::make_unique<SweepGroups>(file_, settings, sizes);
}

ResultsWriter::~ResultsWriter() = default;

void ResultsWriter::add(const DocumentRecord& record) {
  if (sweep_) return sweep_->add(record);
  if (!record.settings.empty())
    throw BadData("the record of " + record.file + " at byte " + std::to_string(record.offset) +
                  " is of a sweep, the journal is not: it is damaged");
  root_->add(record);
}

CorpusSummary ResultsWriter::finish(const ResultsHeader& header, const std::vector<RunRow>& runs) {
  const CorpusSummary summary = sweep_ ? sweep_->finish() : root_->finish();
  write_runs(runs);
  write_root(header, summary);
  file_.close();
  return summary;
}

void ResultsWriter::write_runs(const std::vector<RunRow>& runs) {
  file_.create_group("/run");
  file_.create_dimension("/run/incarnation", runs.size(),
                         "incarnation of a worker, by launch and rank");
  const auto about = [&](const char* long_name, const char* units = "1") {
    return Hdf5DatasetOptions{.long_name = long_name,
                              .units = units,
                              .scales = {"/run/incarnation"},
                              .expected = runs.size()};
  };
  const auto numbers = [&]<class Field>(const char* path, const Hdf5DatasetOptions& options,
                                        Field RunRow::*field) {
    using T = std::conditional_t<std::is_same_v<Field, int>, std::int32_t, Field>;
    Hdf5Appender<T> out(file_, path, options);
    for (const RunRow& row : runs) out.append(static_cast<T>(row.*field));
    out.finish();
  };
  const auto texts = [&](const char* path, const Hdf5DatasetOptions& options,
                         std::string RunRow::*field) {
    std::size_t longest = 0;
    for (const RunRow& row : runs) longest = std::max(longest, (row.*field).size());
    Hdf5StringAppender out(file_, path, options, longest);
    for (const RunRow& row : runs) out.append(row.*field);
    out.finish();
  };
  numbers("/run/rank", about("rank"), &RunRow::rank);
  numbers("/run/launch", about("launch, from 1"), &RunRow::launch);
  texts("/run/host", about("host"), &RunRow::host);
  texts("/run/device", about("device"), &RunRow::device);
  numbers("/run/documents", about("documents finished, failed ones included", "documents"),
          &RunRow::n_documents);
  numbers("/run/tokens", about("tokens processed", "tokens"), &RunRow::n_tokens);
  numbers("/run/seconds_computing", about("time computing; NaN: not reported", "s"),
          &RunRow::seconds_computing);
  numbers("/run/seconds_waiting", about("time waiting for work; NaN: not reported", "s"),
          &RunRow::seconds_waiting);
  numbers("/run/seconds_writing", about("time writing; NaN: not reported", "s"),
          &RunRow::seconds_writing);
  write_timelines(runs);
}

// Bins beyond the end of an incarnation are NaN.
void ResultsWriter::write_timelines(const std::vector<RunRow>& runs) {
  if (std::all_of(runs.begin(), runs.end(),
                  [](const RunRow& r) { return r.timeline.bins().empty(); }))
    return;
  file_.create_dimension("/run/bin", Timeline::kMostBins, "bin of time");
  Hdf5Appender<double> width(
      file_, "/run/timeline_width",
      {.long_name = "width of a bin of time, from the start of the incarnation's work",
       .units = "s",
       .scales = {"/run/incarnation"},
       .expected = runs.size()});
  for (const RunRow& row : runs) width.append(row.timeline.width_s());
  width.finish();
  const auto write = [&](const char* path, const char* long_name, const char* units,
                         double TimelineBin::*field) {
    Hdf5Appender<double> out(file_, path,
                             {.long_name = long_name,
                              .units = units,
                              .scales = {"/run/incarnation", "/run/bin"},
                              .expected = Timeline::kMostBins},
                             runs.size());
    std::vector<double> values(runs.size() * Timeline::kMostBins,
                               std::numeric_limits<double>::quiet_NaN());
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const std::vector<TimelineBin>& bins = runs[i].timeline.bins();
      for (std::size_t b = 0; b < bins.size(); ++b)
        values[i * Timeline::kMostBins + b] = bins[b].*field;
    }
    out.append(std::span<const double>(values));
    out.finish();
  };
  write("/run/timeline_tokens", "tokens processed in the bin", "tokens", &TimelineBin::tokens);
  write("/run/timeline_computing", "time computing in the bin", "s", &TimelineBin::computing_s);
  write("/run/timeline_waiting", "time waiting for work in the bin", "s", &TimelineBin::waiting_s);
}

void ResultsWriter::write_root(const ResultsHeader& h, const CorpusSummary& s) {
  const auto set = [&](const char* name, const Hdf5Value& value) {
    file_.set_attribute("/", name, value);
  };
  set("schema_version", kResultsSchema);
  set("complete", std::int64_t{h.complete});
  set("n_documents", static_cast<std::int64_t>(s.n_documents));
  set("n_failed", static_cast<std::int64_t>(s.n_failed));
  set("fingerprint", h.fingerprint);
  set("model", h.model);
  set("tokenizer", h.tokenizer);
  if (!sweep_) {
    set("policy", h.policy);
    set("cache_size", h.cache_size);
    set("positions", h.positions);
  }
  set("job", h.job);
  if (s.generates)
    set("text_scores_definition", text_scores_definition(h.stems));
  else
    set("ppl_definition", kPerplexityDefinition);
  set("left_out", h.left_out);
  set("config", h.config);
  set("program_version", h.program_version);
  set("git_hash", h.git_hash);
  set("created", h.created);
  set("command", h.command);
  set("host", h.host);
  set("slurm_job", h.slurm_job);
  set("history", h.history);
  set("run_dependent_attributes", "config created command host slurm_job history");
}

}  // namespace tovamill
