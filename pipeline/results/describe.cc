// The text of `tovamill inspect` for an HDF5 file.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>

#include "io/results/hdf5_file.h"
#include "kernels/types/format.h"
#include "pipeline/results/export.h"
#include "pipeline/run_directory/document_record.h"

namespace tovamill {
namespace {

constexpr std::size_t kLongestValue = 100;  // bytes shown of an attribute

std::string shown(const Hdf5Value& value) {
  if (const auto* n = std::get_if<std::int64_t>(&value))
    return *n < 0 ? std::to_string(*n) : with_thousands(static_cast<std::uint64_t>(*n));
  if (const auto* x = std::get_if<double>(&value)) {
    char buffer[64];
    const std::string exact(buffer, std::to_chars(buffer, buffer + sizeof buffer, *x).ptr);
    const std::size_t n_digits = std::min(exact.find_first_not_of("0123456789"), exact.size());
    if (n_digits == 0 || n_digits > 15) return exact;
    return with_thousands(std::stoull(exact)) + exact.substr(n_digits);
  }
  std::string text = std::get<std::string>(value);
  for (char& c : text) c = static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  if (text.size() > kLongestValue) {
    std::size_t end = kLongestValue;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
      --end;  // not within a character
    text.resize(end);
    text += " ...";
  }
  return "\"" + text + "\"";
}

std::string text_attribute(const Hdf5File& file, const std::string& object,
                           const std::string& name) {
  for (const auto& [key, value] : file.attributes(object)) {
    const auto* text = std::get_if<std::string>(&value);
    if (key == name && text) return *text;
  }
  return "";
}

void describe_dataset(const Hdf5File& file, const std::string& path, const std::string& name,
                      std::string& out) {
  std::string shape;
  for (const std::uint64_t n : file.shape(path))
    shape.append(shape.empty() ? "" : " x ").append(with_thousands(n));
  const std::string long_name = text_attribute(file, path, "long_name"),
                    units = text_attribute(file, path, "units");
  out += "  " + name + " [" + shape + "] " + file.type_name(path);
  if (!units.empty() && units != "1") out += ", " + units;
  if (!long_name.empty()) out += ": " + long_name;
  out += "\n";
}

void describe_group(const Hdf5File& file, const std::string& group, std::string& out) {
  out += group + "\n";
  for (const auto& [name, value] : file.attributes(group))
    out += "  @" + name + " = " + shown(value) + "\n";
  const std::vector<Hdf5Object> objects = file.list(group);
  const std::string prefix = group == "/" ? "/" : group + "/";
  for (const Hdf5Object& o : objects) {
    if (!o.is_group) describe_dataset(file, prefix + o.name, o.name, out);
  }
  for (const Hdf5Object& o : objects) {
    if (o.is_group) describe_group(file, prefix + o.name, out);
  }
}

std::string rounded(double x) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.4f", x);
  return buffer;
}

// The result of a job that writes texts: their number, how they end, and their scores against the
// references. Empty for other files.
std::string describe_texts(const Hdf5File& file) {
  if (!file.exists("/generations") || !file.exists("/summary")) return "";
  std::map<std::string, std::int64_t> counts;
  std::map<std::string, double> numbers;
  for (const auto& [name, value] : file.attributes("/summary")) {
    if (const auto* n = std::get_if<std::int64_t>(&value)) counts[name] = *n;
    if (const auto* x = std::get_if<double>(&value)) numbers[name] = *x;
  }
  const auto count = [&](const char* name) { return with_thousands(counts[name]); };
  std::string out = count("n_generations") + " texts with " + count("n_new_tokens") +
                    " new tokens (finish reasons: stop " + count("n_stop") + ", length " +
                    count("n_length") + ").\n";
  if (counts["n_with_references"] == 0) return out;
  out += "Best over references, mean of " + count("n_with_references") +
         " texts (standard error over documents):";
  std::string separator = " ";
  for (const char* name : kTextScoreNames) {
    out += separator + name + " " + rounded(numbers[name]) + " (" +
           rounded(numbers[std::string(name) + "_se"]) + ")";
    separator = ", ";
  }
  return out + "\n";
}

}  // namespace

std::string describe_results(const std::string& path) {
  const Hdf5File file(path, Hdf5File::Mode::read);
  std::string out;
  for (const auto& [name, value] : file.attributes("/")) {
    const auto* complete = std::get_if<std::int64_t>(&value);
    if (name == "complete" && complete)
      out += *complete ? "A complete run.\n"
                       : "An incomplete run: run the same command again to continue it.\n";
  }
  out += describe_texts(file);
  describe_group(file, "/", out);
  return out;
}

}  // namespace tovamill
