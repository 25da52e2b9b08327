#include "tests/support/models/golden_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace tovamill::testing {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "the arrays are little-endian");

std::filesystem::path folder() {
  return std::filesystem::path(TOVAMILL_SOURCE_DIR) / "tests/support/goldens";
}

// An index and the bytes of its arrays.
struct File {
  json index;
  std::vector<char> bytes;

  explicit File(const std::string& name) {
    const auto path = folder() / (name + ".json");
    std::ifstream in(path);
    if (!in) throw std::runtime_error("cannot read " + path.string());
    index = json::parse(in);
    const auto arrays = folder() / index.at("arrays").get<std::string>();
    std::ifstream data(arrays, std::ios::binary);
    if (!data) throw std::runtime_error("cannot read " + arrays.string());
    bytes.assign(std::istreambuf_iterator<char>(data), {});
  }

  // The array that `entry` names, converted to T by `convert`.
  template <class T, class Stored, class Convert>
  std::vector<T> read(const json& entry, const char* dtype, Convert convert) const {
    if (entry.at("dtype") != dtype)
      throw std::runtime_error("golden array: expected dtype " + std::string(dtype));
    std::size_t size = 1;
    for (const json& n : entry.at("shape")) size *= n.get<std::size_t>();
    const auto offset = entry.at("offset").get<std::size_t>();
    if (offset > bytes.size() || size > (bytes.size() - offset) / sizeof(Stored)) {
      throw std::runtime_error("golden array: outside of its file");
    }
    std::vector<Stored> stored(size);
    std::memcpy(stored.data(), bytes.data() + offset, size * sizeof(Stored));
    std::vector<T> out(size);
    std::ranges::transform(stored, out.begin(), convert);
    return out;
  }

  std::vector<double> f64(const json& e) const {
    return read<double, double>(e, "f64", std::identity{});
  }
  std::vector<float> f32(const json& e) const {
    return read<float, float>(e, "f32", std::identity{});
  }
  std::vector<std::uint8_t> u8(const json& e) const {
    return read<std::uint8_t, std::uint8_t>(e, "u8", std::identity{});
  }
  std::vector<std::int32_t> i16(const json& e) const {
    return read<std::int32_t, std::int16_t>(e, "i16",
                                            [](std::int16_t v) { return std::int32_t{v}; });
  }
  std::vector<float> bf16(const json& e) const {
    return read<float, std::uint16_t>(
        e, "bf16", [](std::uint16_t v) { return std::bit_cast<float>(std::uint32_t{v} << 16); });
  }
};

CacheOptions options_of(const json& o) {
  return CacheOptions{.policy = policy_named(o.at("policy").get<std::string>()),
                      .cache_size = o.at("cache_size"),
                      .pin = o.at("pin"),
                      .sinks = o.at("sinks"),
                      .recent = o.at("recent"),
                      .ema = o.at("ema"),
                      .positions = positions_named(o.at("positions").get<std::string>()),
                      .clip_distance = o.at("clip_distance")};
}

GoldenCase case_of(const File& file, const json& entry) {
  GoldenCase c{.name = entry.at("name"),
               .source = entry.at("source"),
               .options = options_of(entry.at("options")),
               .nll = file.f64(entry.at("nll")),
               .relative_margin = std::numeric_limits<double>::infinity()};
  if (entry.contains("death")) {
    c.n_units = entry.at("death").at("shape").at(1);
    c.eviction_step = file.i16(entry.at("death"));
  }
  if (entry.contains("margin")) {
    c.margin = file.bf16(entry.at("margin"));
    c.relative_margin = entry.at("relative_margin");
  }
  c.n_ties = entry.value("n_ties", 0);
  return c;
}

}  // namespace

const GoldenCase& GoldenModel::at(std::string_view case_name) const {
  const auto found = std::ranges::find(cases, case_name, &GoldenCase::name);
  if (found == cases.end())
    throw std::out_of_range(name + " has no golden case " + std::string(case_name));
  return *found;
}

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder())) {
    const auto stem = entry.path().stem().string();
    if (entry.path().extension() == ".json" && stem != "quants") names.push_back(stem);
  }
  std::ranges::sort(names);
  return names;
}

GoldenModel load_golden(const std::string& name) {
  const File file(name);
  GoldenModel model{
      .name = name, .n_layers = file.index.at("n_layers"), .ids = file.i16(file.index.at("ids"))};
  for (const json& path : file.index.at("models"))
    model.models.push_back(folder() / path.get<std::string>());
  for (const json& entry : file.index.at("cases")) model.cases.push_back(case_of(file, entry));
  return model;
}

std::vector<GoldenQuant> load_golden_quants() {
  const File file("quants");
  std::vector<GoldenQuant> quants;
  for (const json& entry : file.index.at("types")) {
    quants.push_back({entry.at("type"), file.u8(entry.at("blocks")), file.f32(entry.at("values"))});
  }
  return quants;
}

}  // namespace tovamill::testing
