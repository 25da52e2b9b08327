// The pieces of a page: escaped texts and tables. The page is HTML5 that an XML parser reads, too.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/results/summary.h"

namespace tovamill {

// For the text of an element or a quoted attribute. Bytes that are not UTF-8 and control characters
// other than tab and line feed become U+FFFD.
std::string escaped(std::string_view text);
// The front of a longer text, at most so many bytes, with "..." behind it; whole characters.
std::string shortened(std::string_view text, std::size_t most_bytes);

// "23.3208 ± 0.1234", without what is not finite; "-" where there is no value.
std::string estimate_text(const Estimate& e);
std::string perplexity_estimate_text(const Estimate& e);
// Three significant digits and more: for numbers of unknown size.
std::string number_text(double value);

// A table that scrolls in itself where the page is narrow, and takes the focus so that keys scroll
// it.
class HtmlTable {
 public:
  explicit HtmlTable(std::string caption) : caption_(std::move(caption)) {}
  // Of the head. Columns of numbers are set to the right.
  HtmlTable& text(std::string name) { return column(std::move(name), false); }
  HtmlTable& number(std::string name) { return column(std::move(name), true); }
  // As many cells as columns, not yet escaped. The first of a row names it.
  void row(const std::vector<std::string>& cells) { rows_.push_back(cells); }
  bool is_empty() const { return rows_.empty(); }
  std::string html() const;

 private:
  struct Column {
    std::string name;
    bool is_number;
  };
  HtmlTable& column(std::string name, bool is_number) {
    columns_.push_back({std::move(name), is_number});
    return *this;
  }

  std::string caption_;
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "<p>...</p>" of a text, escaped.
std::string paragraph(std::string_view text);
// What is shown on demand; `content` is HTML.
std::string details(std::string_view summary, const std::string& content);

}  // namespace tovamill
