// The speed of ranks and their waiting over time: the timelines of /run.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "kernels/types/format.h"
#include "pipeline/report/sections.h"

namespace tovamill {
namespace {

constexpr std::size_t kMostRankCurves = 12;  // of more: the mean, the least and the greatest

struct TimedRank {
  std::string label;
  const WorkerRow* row;
};

std::vector<TimedRank> timed_ranks(const Settings& settings) {
  std::vector<TimedRank> ranks;
  std::set<std::string> seen;
  for (const ReportSetting& s : settings) {
    if (!seen.insert(s.path).second) continue;  // the settings of a sweep share their ranks
    for (const WorkerRow& w : s.workers) {
      if (w.times.empty()) continue;
      ranks.push_back({(s.sweep.empty() ? s.label : s.path) + ", launch " +
                           std::to_string(w.launch) + ", rank " + std::to_string(w.rank),
                       &w});
    }
  }
  return ranks;
}

// Tokens per second of a bin; of the last one, by the time that is accounted for.
double rate_of(const WorkerRow& w, std::size_t bin) {
  const WorkerRow::Time& t = w.times[bin];
  const bool is_last = bin + 1 == w.times.size();
  return t.tokens / (is_last ? std::max(1e-3, t.computing_s + t.waiting_s) : w.bin_s);
}
double waiting_of(const WorkerRow& w, std::size_t bin) {
  const WorkerRow::Time& t = w.times[bin];
  const double all = t.computing_s + t.waiting_s;
  return all > 0.0 ? t.waiting_s / all : std::nan("");
}

using OfBin = double (*)(const WorkerRow&, std::size_t);

// The values of all ranks by time, in bins of the widest one's.
std::map<double, std::vector<double>> by_time(const std::vector<TimedRank>& ranks, OfBin value) {
  double widest = 0.0;
  for (const TimedRank& r : ranks) widest = std::max(widest, r.row->bin_s);
  std::map<double, std::vector<double>> values;
  for (const TimedRank& r : ranks) {
    for (std::size_t b = 0; b < r.row->times.size(); ++b) {
      const double middle = (static_cast<double>(b) + 0.5) * r.row->bin_s;
      const double v = value(*r.row, b);
      if (std::isfinite(v)) values[(std::floor(middle / widest) + 0.5) * widest].push_back(v);
    }
  }
  return values;
}

void add_summary_curves(Picture& p, const std::vector<TimedRank>& ranks, OfBin value) {
  const auto all = by_time(ranks, value);
  const char* const names[] = {"mean of the ranks", "least", "greatest"};
  for (int kind = 0; kind < 3; ++kind) {
    PictureSeries series{.label = names[kind], .kind = PictureSeries::Kind::line, .points = {}};
    series.colour = kind;
    for (const auto& [time, values] : all) {
      double sum = 0.0;
      for (const double v : values) sum += v;
      const auto [low, high] = std::minmax_element(values.begin(), values.end());
      series.points.push_back({time, kind == 0   ? sum / static_cast<double>(values.size())
                                     : kind == 1 ? *low
                                                 : *high});
    }
    p.series.push_back(series);
  }
}

void add_rank_curves(Picture& p, const std::vector<TimedRank>& ranks, OfBin value) {
  for (const TimedRank& r : ranks) {
    PictureSeries series{.label = r.label, .kind = PictureSeries::Kind::line, .points = {}};
    series.colour = static_cast<int>(p.series.size());
    for (std::size_t b = 0; b < r.row->times.size(); ++b)
      series.points.push_back({(static_cast<double>(b) + 0.5) * r.row->bin_s, value(*r.row, b)});
    p.series.push_back(series);
  }
}

std::string time_figure(const std::vector<TimedRank>& ranks, Picture p, OfBin value, int decimals,
                        const MakeFigure& figure) {
  p.x_label = "seconds since the start of the rank";
  p.y_from_zero = true;
  if (ranks.size() > kMostRankCurves)
    add_summary_curves(p, ranks, value);
  else
    add_rank_curves(p, ranks, value);
  HtmlTable table(p.title);
  table.text("rank").number("seconds").number(p.y_label);
  for (const PictureSeries& series : p.series) {
    for (const PicturePoint& point : series.points)
      table.row({series.label, fixed_point(point.x, 1), fixed_point(point.y, decimals)});
  }
  return figure(p, table);
}

}  // namespace

std::string time_figures(const Settings& settings, const MakeFigure& figure) {
  const std::vector<TimedRank> ranks = timed_ranks(settings);
  if (ranks.empty())
    return paragraph("What the ranks did when is known of those only that have ended in order.");
  Picture speed;
  speed.name = "speed-over-time";
  speed.title = "Tokens per second over time";
  speed.description = "Tokens of a rank in a bin of time, over its width.";
  speed.y_label = "tokens/s";
  Picture waiting;
  waiting.name = "waiting-over-time";
  waiting.title = "Waiting over time";
  waiting.description = "Of the time that a rank computed or waited for work, the share it waited.";
  waiting.y_label = "share of waiting";
  return time_figure(ranks, speed, rate_of, 0, figure) +
         time_figure(ranks, waiting, waiting_of, 3, figure);
}

}  // namespace tovamill
