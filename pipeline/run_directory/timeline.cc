#include "pipeline/run_directory/timeline.h"

#include <algorithm>
#include <cmath>

namespace tovamill {
namespace {

struct TimelineField {
  const char* name;
  double TimelineBin::*value;
};
constexpr std::array<TimelineField, 3> kTimelineFields{{{"tokens", &TimelineBin::tokens},
                                                        {"computing_s", &TimelineBin::computing_s},
                                                        {"waiting_s", &TimelineBin::waiting_s}}};

double rounded_to_millis(double x) { return std::round(x * 1000.0) / 1000.0; }

}  // namespace

void Timeline::halve() {
  std::vector<TimelineBin> wider((bins_.size() + 1) / 2);
  for (std::size_t i = 0; i < bins_.size(); ++i) {
    for (const TimelineField& f : kTimelineFields) wider[i / 2].*f.value += bins_[i].*f.value;
  }
  bins_ = std::move(wider);
  width_s_ *= 2.0;
}

void Timeline::add(double begin_s, double end_s, TimelineBin what) {
  if (!(begin_s >= 0.0) || !(end_s >= begin_s) || !std::isfinite(end_s)) return;
  while (end_s >= width_s_ * static_cast<double>(kMostBins)) halve();
  const auto first = static_cast<std::size_t>(begin_s / width_s_),
             last = static_cast<std::size_t>(end_s / width_s_);
  if (last >= bins_.size()) bins_.resize(last + 1);
  for (std::size_t b = first; b <= last; ++b) {
    const double from = std::max(begin_s, width_s_ * static_cast<double>(b)),
                 to = std::min(end_s, width_s_ * static_cast<double>(b + 1));
    const double share = end_s > begin_s ? (to - from) / (end_s - begin_s) : 1.0;
    for (const TimelineField& f : kTimelineFields) bins_[b].*f.value += share * what.*f.value;
  }
}

nlohmann::json Timeline::to_json() const {
  nlohmann::json json{{"width_s", width_s_}};
  for (const TimelineField& f : kTimelineFields) {
    json[f.name] = nlohmann::json::array();
    for (const TimelineBin& bin : bins_) json[f.name].push_back(rounded_to_millis(bin.*f.value));
  }
  return json;
}

Timeline Timeline::from_json(const nlohmann::json& json) {
  const auto is_number = [](const nlohmann::json& x) {
    return x.is_number() && x.get<double>() >= 0.0 && std::isfinite(x.get<double>());
  };
  Timeline t;
  if (!json.is_object() || !json.contains("width_s") || !is_number(json["width_s"])) return {};
  t.width_s_ = json["width_s"].get<double>();
  if (!(t.width_s_ > 0.0)) return {};
  for (const TimelineField& f : kTimelineFields) {
    const auto found = json.find(f.name);
    if (found == json.end() || !found->is_array() || found->size() > kMostBins) return {};
    if (t.bins_.empty()) t.bins_.resize(found->size());
    if (t.bins_.size() != found->size()) return {};
    for (std::size_t b = 0; b < found->size(); ++b) {
      if (!is_number((*found)[b])) return {};
      t.bins_[b].*f.value = (*found)[b].get<double>();
    }
  }
  return t;
}

}  // namespace tovamill
