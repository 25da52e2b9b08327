// The numbers of every setting, and what each of them is: the first and the last section.
#include <algorithm>
#include <cmath>

#include "kernels/types/format.h"
#include "pipeline/report/sections.h"

namespace tovamill {
namespace {

std::string count_text(const Attributes& attributes, const char* name) {
  return with_thousands(
      static_cast<std::uint64_t>(std::max<std::int64_t>(0, count_attribute(attributes, name))));
}

bool any(const Settings& settings, bool (*holds)(const ReportSetting&)) {
  return std::any_of(settings.begin(), settings.end(), holds);
}
bool scores(const ReportSetting& s) { return !s.generates(); }
bool generates(const ReportSetting& s) { return s.generates(); }
// The ranks of a sweep serve all its settings at once: no speed is that of one of them.
bool has_status(const ReportSetting& s) {
  return s.sweep.empty() && s.status && s.status->tokens_per_second;
}
bool has_paired(const ReportSetting& s) { return !s.paired.empty(); }

// The columns that some setting has something for.
struct SummaryColumns {
  bool scores, generates, has_status, has_paired;
};

HtmlTable table_with(const SummaryColumns& c) {
  HtmlTable table("Settings");
  table.text("setting").number("documents").number("failed").number("tokens");
  if (c.scores) table.number("perplexity per token").number("per word").number("bits per byte");
  if (c.has_paired) table.number("difference from the baseline, nats per token");
  if (c.generates) {
    table.number("texts").number("stopped").number("cut");
    for (const char* name : kTextScoreNames) table.number(name);
  }
  table.number("mean attended").number("tokens/s of computing");
  if (c.has_status) table.number("tokens/s of the last start");
  table.text("complete");
  return table;
}

std::vector<std::string> row_of(const ReportSetting& s, const SummaryColumns& c) {
  std::vector<std::string> cells{s.label, count_text(s.summary, "n_documents"),
                                 count_text(s.summary, "n_failed"),
                                 count_text(s.summary, "n_tokens")};
  if (c.scores) {
    for (const char* name : {"perplexity_token", "perplexity_word"})
      cells.push_back(perplexity_estimate_text(estimate_attribute(s.summary, name)));
    cells.push_back(estimate_text(estimate_attribute(s.summary, "bits_per_byte")));
  }
  if (c.has_paired) cells.push_back(estimate_text(estimate_attribute(s.paired, "nll_difference")));
  if (c.generates) {
    for (const char* name : {"n_generations", "n_stop", "n_length"})
      cells.push_back(s.generates() ? count_text(s.summary, name) : "-");
    for (const char* name : kTextScoreNames)
      cells.push_back(estimate_text(estimate_attribute(s.summary, name)));
  }
  cells.push_back(number_text(number_attribute(s.summary, "mean_attended")));
  cells.push_back(s.sweep.empty() ? fixed_point(s.tokens_per_second(), 0) : "-");
  if (c.has_status)
    cells.push_back(has_status(s) ? fixed_point(*s.status->tokens_per_second, 0) : "-");
  cells.push_back(count_attribute(s.attributes, "complete") != 0 ? "yes" : "no");
  return cells;
}

// Every attribute of a run, and its options in full.
std::string options_html(const ReportSetting& s) {
  HtmlTable table("Attributes of " + s.label);
  table.text("attribute").text("value");
  table.row({"results", s.path});
  if (!s.sweep.empty()) table.row({"setting of the sweep", s.sweep});
  for (const auto& [name, value] : s.attributes) {
    if (name == "config" || name == "fingerprint") continue;
    if (const auto* text = std::get_if<std::string>(&value))
      table.row({name, *text});
    else if (const auto* n = std::get_if<std::int64_t>(&value))
      table.row({name, std::to_string(*n)});
    else
      table.row({name, number_text(std::get<double>(value))});
  }
  HtmlTable options("Options of " + s.label + " that change its results");
  options.text("option").text("value");
  for (const auto& [name, value] : s.options) options.row({name, value});
  const std::string config = text_attribute(s.attributes, "config");
  std::string all = table.html();
  if (!options.is_empty()) all += options.html();
  if (!config.empty())
    all += "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"All options\"><pre>" +
           escaped(config) + "</pre></div>\n";
  return all;
}

}  // namespace

ReportSection summary_section(const Settings& settings) {
  const SummaryColumns columns{any(settings, scores), any(settings, generates),
                               any(settings, has_status), any(settings, has_paired)};
  HtmlTable table = table_with(columns);
  std::uint64_t n_documents = 0;
  for (const ReportSetting& s : settings) {
    table.row(row_of(s, columns));
    n_documents += static_cast<std::uint64_t>(
        std::max<std::int64_t>(0, count_attribute(s.summary, "n_documents")));
  }
  std::string html = table.html();
  html += paragraph(
      "Behind \xC2\xB1 stands a standard error over documents. Mean attended: tokens per query and "
      "layer. Tokens/s of computing: of a rank while it computes.");
  if (n_documents == 0) html += paragraph("No document has been finished yet.");
  return {"summary", "Summary", html};
}

ReportSection option_section(const Settings& settings) {
  std::string html;
  for (const ReportSetting& s : settings) html += details(s.label, options_html(s));
  return {"options", "Options, versions, hosts", html};
}

}  // namespace tovamill
