// How the work went: time of every rank, failures, files left out.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "kernels/types/format.h"
#include "pipeline/report/sections.h"

namespace tovamill {
namespace {

constexpr std::size_t kMostBars = 64;             // ranks drawn one by one; more are put together
constexpr std::size_t kMostRankRows = 200;        // of a table
constexpr std::size_t kMostFailureRows = 50;      // of a table
constexpr std::size_t kLongestFailureText = 300;  // bytes

std::string name_of_file(const ReportSetting& s) { return s.sweep.empty() ? s.label : s.path; }

// The settings of a sweep share their ranks: the first one stands for the file.
std::vector<const ReportSetting*> one_of_each_file(const Settings& settings) {
  std::vector<const ReportSetting*> which;
  std::set<std::string> seen;
  for (const ReportSetting& s : settings) {
    if (seen.insert(s.path).second) which.push_back(&s);
  }
  return which;
}

struct NamedWorker {
  std::string run;
  WorkerRow row;
};

std::vector<NamedWorker> workers_of(const Settings& settings) {
  std::vector<NamedWorker> workers;
  for (const ReportSetting* s : one_of_each_file(settings)) {
    for (const WorkerRow& row : s->workers) workers.push_back({name_of_file(*s), row});
  }
  return workers;
}

Picture rank_picture(const std::vector<NamedWorker>& workers) {
  Picture p;
  p.name = "ranks";
  p.title = "Time of the ranks";
  p.y_label = "seconds";
  p.y_from_zero = true;
  const std::size_t n = workers.size(), each = (n + kMostBars - 1) / kMostBars;
  p.x_label = "start of a rank: row of the table";
  p.description =
      "Seconds that a rank computed, wrote and waited for work" +
      std::string(each > 1 ? "; mean of " + std::to_string(each) + " ranks in a row." : ".");
  p.x_margin = 1.0;
  const std::array<std::pair<const char*, double WorkerRow::*>, 3> kParts{
      {{"computing", &WorkerRow::computing_s},
       {"writing", &WorkerRow::writing_s},
       {"waiting", &WorkerRow::waiting_s}}};
  for (const auto& [name, field] : kParts) {
    PictureSeries series{.label = name, .kind = PictureSeries::Kind::boxes, .points = {}};
    series.colour = static_cast<int>(p.series.size());
    for (std::size_t first = 0; first < n; first += each) {
      double sum = 0.0;
      const std::size_t end = std::min(first + each, n);
      for (std::size_t i = first; i < end; ++i) {
        const double value = workers[i].row.*field;
        sum += std::isfinite(value) ? value : 0.0;
      }
      const double middle = 0.5 * static_cast<double>(first + end - 1) + 1.0;
      series.points.push_back({middle, sum / static_cast<double>(end - first)});
    }
    p.series.push_back(series);
  }
  p.box_width = 0.8 * static_cast<double>(each);
  for (std::size_t i = 1; i <= n; i += 1 + n / 16)
    p.x_ticks.emplace_back(static_cast<double>(i), std::to_string(i));
  return p;
}

HtmlTable rank_table(const std::vector<NamedWorker>& workers) {
  HtmlTable table("Ranks" + (workers.size() > kMostRankRows
                                 ? ", the first " + std::to_string(kMostRankRows) + " of " +
                                       with_thousands(workers.size())
                                 : std::string()));
  table.number("row").text("run").number("launch").number("rank").text("host").text("device");
  table.number("documents").number("tokens").number("tokens/s of computing");
  table.number("computing, s").number("waiting, s").number("writing, s");
  for (std::size_t i = 0; i < std::min(workers.size(), kMostRankRows); ++i) {
    const WorkerRow& w = workers[i].row;
    const double speed =
        w.computing_s > 0.0 ? static_cast<double>(w.n_tokens) / w.computing_s : std::nan("");
    table.row({std::to_string(i + 1), workers[i].run, std::to_string(w.launch),
               std::to_string(w.rank), w.host, w.device, with_thousands(w.n_documents),
               with_thousands(w.n_tokens), fixed_point(speed, 0), fixed_point(w.computing_s, 2),
               fixed_point(w.waiting_s, 2), fixed_point(w.writing_s, 2)});
  }
  return table;
}

// What the run directories say of their last start, and what was not read.
std::string run_table(const Settings& settings) {
  HtmlTable table("Runs");
  table.text("run").text("state").number("tokens/s of the last start").number("time");
  table.text("left out of the corpus");
  for (const ReportSetting* s : one_of_each_file(settings)) {
    const RunReport status = s->status.value_or(RunReport{});
    const std::string left_out = text_attribute(s->attributes, "left_out");
    table.row({name_of_file(*s), status.state.empty() ? "-" : status.state,
               fixed_point(status.tokens_per_second.value_or(std::nan("")), 0),
               status.seconds ? human_duration(*status.seconds) : "-",
               left_out.empty() ? "nothing" : left_out});
  }
  return table.html();
}

// A document that fails under every setting is listed once.
std::string failures_of(const Settings& settings) {
  HtmlTable reasons("Failures by reason"), first("First failures");
  reasons.text("reason").number("documents").text("settings");
  first.text("where").text("setting").text("reason").text("what was wrong");
  std::set<std::string> seen;
  std::map<std::pair<std::string, std::uint64_t>, std::vector<std::string>> alike;
  for (const ReportSetting& s : settings) {
    for (const auto& count : s.documents.failures_by_reason) alike[count].push_back(s.label);
    for (const ShownFailure& f : s.documents.first_failures) {
      if (!seen.insert(f.place + "\n" + f.text).second || seen.size() > kMostFailureRows) continue;
      first.row({f.place, s.label, f.reason, shortened(f.text, kLongestFailureText)});
    }
  }
  for (const auto& [count, labels] : alike) {
    std::string names;
    for (const std::string& label : labels) names += (names.empty() ? "" : "; ") + label;
    reasons.row({count.first, with_thousands(count.second),
                 labels.size() == settings.size() ? "all" : names});
  }
  if (reasons.is_empty()) return paragraph("No document failed.");
  return reasons.html() + details("First failures", first.html());
}

}  // namespace

ReportSection speed_section(const Settings& settings, const MakeFigure& figure) {
  ReportSection section{"speed", "Speed and failures", ""};
  const std::vector<NamedWorker> workers = workers_of(settings);
  section.html = run_table(settings) + figure(rank_picture(workers), rank_table(workers)) +
                 time_figures(settings, figure) + failures_of(settings);
  return section;
}

}  // namespace tovamill
