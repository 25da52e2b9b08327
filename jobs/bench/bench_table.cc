#include "jobs/bench/bench_table.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <utility>

namespace tovamill::bench {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n == 0 ? 0.0 : 0.5 * (values[(n - 1) / 2] + values[n / 2]);
}

std::string shown(double value, int n_digits) {
  if (!(value > 0.0)) return "-";
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", n_digits, value);
  return text;
}

Table::Table(std::string name, std::vector<std::string> columns)
    : name_(std::move(name)), columns_(std::move(columns)) {
  std::cout << "\n";
  print(columns_);
  std::string line = "|";
  for (const std::string& column : columns_) line += std::string(column.size() + 2, '-') + "|";
  std::cout << line << std::endl;
}

void Table::row(const std::vector<std::string>& cells, nlohmann::ordered_json json) {
  print(cells);
  nlohmann::ordered_json line{{"benchmark", name_}};
  line.update(json);
  lines_.push_back(std::move(line));
}

void Table::print(const std::vector<std::string>& cells) const {
  std::string line = "|";
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::size_t width = i < columns_.size() ? columns_[i].size() : 0;
    line += " " + cells[i] +
            std::string(width > cells[i].size() ? width - cells[i].size() : 0, ' ') + " |";
  }
  std::cout << line << std::endl;
}

void Table::end() {
  std::cout << "\n";
  for (const auto& line : lines_) std::cout << line.dump() << "\n";
  std::cout << std::flush;
}

}  // namespace tovamill::bench
