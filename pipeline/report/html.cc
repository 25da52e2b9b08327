#include "pipeline/report/html.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "io/files/utf8.h"
#include "kernels/types/format.h"

namespace tovamill {
namespace {

constexpr std::size_t kShort = 40;  // bytes of a name that is not broken into lines
constexpr const char* kReplacement = "\xEF\xBF\xBD";  // U+FFFD

void append_escaped(std::string& out, char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (c == '&')
    out += "&amp;";
  else if (c == '<')
    out += "&lt;";
  else if (c == '>')
    out += "&gt;";
  else if (c == '"')
    out += "&quot;";
  else if (c == '\'')
    out += "&#39;";
  else if ((byte < 0x20 && c != '\t' && c != '\n') || byte == 0x7f)
    out += kReplacement;
  else
    out += c;
}

// U+FFFE and U+FFFF are UTF-8, but no characters of XML.
bool is_noncharacter(std::string_view text) {
  return text.starts_with("\xEF\xBF\xBE") || text.starts_with("\xEF\xBF\xBF");
}

std::string with_error(const std::string& value, const std::string& error, double standard_error) {
  return std::isfinite(standard_error) ? value + " \xC2\xB1 " + error : value;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t n = valid_utf8_prefix(text);
    for (std::size_t i = 0; i < n; ++i) {
      if (is_noncharacter(text.substr(i, n - i))) {
        out += kReplacement;
        i += 2;
      } else {
        append_escaped(out, text[i]);
      }
    }
    if (n < text.size()) out += kReplacement;
    text.remove_prefix(std::min(text.size(), n + 1));
  }
  return out;
}

std::string shortened(std::string_view text, std::size_t most_bytes) {
  if (text.size() <= most_bytes) return std::string(text);
  std::size_t end = most_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

std::string estimate_text(const Estimate& e) {
  if (!std::isfinite(e.value)) return "-";
  return with_error(fixed_point(e.value, 4), fixed_point(e.standard_error, 4), e.standard_error);
}

std::string perplexity_estimate_text(const Estimate& e) {
  if (!std::isfinite(e.value)) return "-";
  return with_error(perplexity_text(e.value), perplexity_text(e.standard_error), e.standard_error);
}

std::string number_text(double value) {
  if (!std::isfinite(value)) return "-";
  const double size = std::abs(value);
  if (size >= 1e15 || (size > 0.0 && size < 1e-4)) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.4g", value);
    return buffer;
  }
  return fixed_point(value, size >= 1000.0 ? 0 : size >= 10.0 ? 2 : 4);
}

std::string HtmlTable::html() const {
  const std::string caption = escaped(caption_);
  std::string out = "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" + caption +
                    "\"><table><caption>" + caption + "</caption>\n<thead><tr>";
  for (const Column& c : columns_)
    out += std::string("<th scope=\"col\"") + (c.is_number ? " class=\"n\">" : ">") +
           escaped(c.name) + "</th>";
  out += "</tr></thead>\n<tbody>\n";
  for (const std::vector<std::string>& cells : rows_) {
    out += "<tr>";
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string tag = i == 0 ? "th" : "td";
      out += "<" + tag + (i == 0 ? " scope=\"row\"" : "") +
             (columns_[i].is_number                 ? " class=\"n\">"
              : i == 0 && cells[i].size() <= kShort ? " class=\"s\">"
                                                    : ">") +
             escaped(i < cells.size() ? cells[i] : std::string()) + "</" + tag + ">";
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string paragraph(std::string_view text) { return "<p>" + escaped(text) + "</p>\n"; }

std::string details(std::string_view summary, const std::string& content) {
  return "<details><summary>" + escaped(summary) + "</summary>\n" + content + "</details>\n";
}

}  // namespace tovamill
