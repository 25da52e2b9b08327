// The text of `tovamill inspect` for an HDF5 file.
#include <charconv>

#include "io/hdf5_file.h"
#include "pipeline/export.h"

namespace tovamill {
namespace {

constexpr std::size_t kLongestValue = 100;  // bytes shown of an attribute

std::string shown(const Hdf5Value& value) {
  if (const auto* n = std::get_if<std::int64_t>(&value)) return std::to_string(*n);
  if (const auto* x = std::get_if<double>(&value)) {
    char buffer[64];
    return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, *x).ptr);
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
    shape.append(shape.empty() ? "" : ", ").append(std::to_string(n));
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
  describe_group(file, "/", out);
  return out;
}

}  // namespace tovamill
