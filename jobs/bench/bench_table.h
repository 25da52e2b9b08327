// What the GPU benchmarks print: Markdown tables whose rows are also lines of JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tovamill::bench {

double now_s();  // of a steady clock
double median(std::vector<double> values);
// `value` with so many digits behind the point; "-" where it is not above 0.
std::string shown(double value, int n_digits);

// Prints its head at once and each row as it comes, so that a run that is broken off has shown what
// it had. The lines of JSON are gathered and printed by `end`: {"benchmark": name, ...}.
class Table {
 public:
  Table(std::string name, std::vector<std::string> columns);
  // `cells` in the order of the columns.
  void row(const std::vector<std::string>& cells, nlohmann::ordered_json json);
  void end();

 private:
  void print(const std::vector<std::string>& cells) const;
  std::string name_;
  std::vector<std::string> columns_;
  std::vector<nlohmann::ordered_json> lines_;
};

}  // namespace tovamill::bench
