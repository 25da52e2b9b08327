#include "jobs/command_line/sweep_table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "kernels/types/format.h"

namespace tovamill {
namespace {

std::string signed_number(double value, bool has_sign) {
  char text[48];
  std::snprintf(text, sizeof text, has_sign ? "%+.4f" : "%.4f", value);
  return text;
}

}  // namespace

std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::string blanks(widths[c] - row[c].size(), ' ');
      line += c == 0 ? row[c] + blanks : "  " + blanks + row[c];
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string signed_with_error(const Estimate& e) {
  if (std::isnan(e.value)) return "-";
  const std::string text = signed_number(e.value, true);
  return std::isnan(e.standard_error) ? text
                                      : text + " +- " + signed_number(e.standard_error, false);
}

std::string perplexity_with_error(const Estimate& e) {
  const std::string text = perplexity_text(e.value);
  return std::isnan(e.standard_error) ? text : text + " +- " + perplexity_text(e.standard_error);
}

namespace {

// Of texts; their scores where there are references.
std::string text_sweep_table(std::span<const SettingSummary> settings, bool has_scores) {
  has_scores = has_scores &&
               std::any_of(settings.begin(), settings.end(),
                           [](const SettingSummary& s) { return s.summary.n_with_references > 0; });
  std::vector<std::vector<std::string>> rows{{"setting", "texts", "ended by themselves"}};
  for (std::size_t i = 0; has_scores && i < kTextScoreNames.size(); ++i)
    rows.front().emplace_back(kTextScoreNames[i]);
  rows.front().insert(rows.front().end(), {"mean attended", "tokens/s of a rank"});
  for (const SettingSummary& s : settings) {
    std::vector<std::string> row{s.name, with_thousands(s.summary.n_generations),
                                 with_thousands(s.summary.n_stop)};
    for (std::size_t i = 0; has_scores && i < kTextScoreNames.size(); ++i)
      row.push_back(perplexity_with_error(s.summary.text_best[i]));
    row.push_back(fixed_point(s.summary.mean_attended, 2));
    row.push_back(s.tokens_per_second > 0.0 ? fixed_point(s.tokens_per_second, 0) : "-");
    rows.push_back(std::move(row));
  }
  return aligned(rows);
}

}  // namespace

std::string sweep_table(std::span<const SettingSummary> settings, bool has_scores) {
  if (!settings.empty() && settings.front().summary.generates)
    return text_sweep_table(settings, has_scores);
  std::vector<std::vector<std::string>> rows{{"setting", "perplexity per token",
                                              "nats per token to the baseline", "mean attended",
                                              "tokens/s of a rank"}};
  for (const SettingSummary& s : settings)
    rows.push_back({s.name, perplexity_with_error(s.summary.perplexity_token),
                    s.is_baseline ? "baseline" : signed_with_error(s.paired.nll_difference),
                    fixed_point(s.summary.mean_attended, 2),
                    s.tokens_per_second > 0.0 ? fixed_point(s.tokens_per_second, 0) : "-"});
  return aligned(rows);
}

}  // namespace tovamill
