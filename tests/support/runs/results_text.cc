#include "tests/support/runs/results_text.h"

#include <bit>
#include <cstdint>
#include <map>
#include <set>
#include <sstream>

#include "io/results/hdf5_file.h"

namespace tovamill::testing {
namespace {

std::string bits(double x) { return std::to_string(std::bit_cast<std::uint64_t>(x)) + " "; }

std::set<std::string> run_dependent(const Hdf5File& file) {
  std::set<std::string> names{"git_hash"};  // results of two builds are compared, too
  for (const auto& [name, value] : file.attributes("/")) {
    if (name != "run_dependent_attributes") continue;
    std::istringstream words(std::get<std::string>(value));
    for (std::string word; words >> word;) names.insert(word);
  }
  return names;
}

std::string text_of_attributes(const Hdf5File& file, const std::string& object,
                               const std::set<std::string>& left_out) {
  std::string out;
  for (const auto& [name, value] : file.attributes(object)) {
    if (object == "/" && left_out.contains(name)) continue;
    out += "@" + name + " ";
    if (const auto* n = std::get_if<std::int64_t>(&value)) out += std::to_string(*n);
    if (const auto* x = std::get_if<double>(&value)) out += bits(*x);
    if (const auto* s = std::get_if<std::string>(&value)) out += *s;
    out += "\n";
  }
  return out;
}

std::string text_of_dataset(const Hdf5File& file, const std::string& path) {
  std::string out = file.type_name(path) + ": ";
  if (file.type_name(path).starts_with("string")) {
    for (const std::string& s : file.read_strings(path, 0, file.shape(path)[0])) out += s + "|";
  } else {
    for (const double x : file.read_all<double>(path)) out += bits(x);
  }
  return out + "\n";
}

void add_group(const Hdf5File& file, const std::string& group,
               const std::set<std::string>& left_out, std::map<std::string, std::string>& parts) {
  parts[group] = text_of_attributes(file, group, left_out);
  for (const Hdf5Object& o : file.list(group)) {
    const std::string path = (group == "/" ? "" : group) + "/" + o.name;
    if (path == "/run") continue;
    if (o.is_group) {
      add_group(file, path, left_out, parts);
    } else {
      parts[path] = text_of_attributes(file, path, left_out) + text_of_dataset(file, path);
    }
  }
}

}  // namespace

std::map<std::string, std::string> results_parts(const std::string& results_path) {
  const Hdf5File file(results_path, Hdf5File::Mode::read);
  std::map<std::string, std::string> parts;
  add_group(file, "/", run_dependent(file), parts);
  return parts;
}

std::map<std::string, std::string> results_within(const std::string& results_path,
                                                  const std::string& group) {
  std::map<std::string, std::string> within;
  for (const auto& [name, text] : results_parts(results_path)) {
    const bool is_in = name.size() > group.size() + 1 && name.starts_with(group + "/");
    if (is_in && !name.starts_with(group + "/paired")) within[name.substr(group.size())] = text;
  }
  return within;
}

std::string results_text(const std::string& results_path) {
  std::string out;
  for (const auto& [path, text] : results_parts(results_path)) out += path + "\n" + text;
  return out;
}

}  // namespace tovamill::testing
