#include "io/results/hdf5_file.h"
#include "jobs/commands/inspect_parts.h"

namespace tovamill {

using Json = nlohmann::ordered_json;

namespace {

Json attributes_of(const Hdf5File& file, const std::string& object) {
  Json attributes = Json::object();
  for (const auto& [name, value] : file.attributes(object)) {
    Json& attribute = attributes[name];
    std::visit([&attribute](const auto& v) { attribute = v; }, value);
  }
  return attributes;
}

void add_group(const Hdf5File& file, const std::string& group, Json& groups, Json& datasets) {
  groups[group] = attributes_of(file, group);
  const std::string prefix = group == "/" ? "/" : group + "/";
  for (const Hdf5Object& object : file.list(group)) {
    const std::string path = prefix + object.name;
    if (object.is_group) {
      add_group(file, path, groups, datasets);
    } else {
      datasets[path] = {{"type", file.type_name(path)},
                        {"shape", file.shape(path)},
                        {"attributes", attributes_of(file, path)}};
    }
  }
}

}  // namespace

Json inspect_results(const std::string& path) {
  const Hdf5File file(path, Hdf5File::Mode::read);
  Json groups = Json::object(), datasets = Json::object();
  add_group(file, "/", groups, datasets);
  return {{"kind", "results"}, {"path", path}, {"groups", groups}, {"datasets", datasets}};
}

}  // namespace tovamill
