#include "io/model/gguf_model.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "io/model/chat_template_text.h"
#include "io/model/digest.h"
#include "io/model/hf_model.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "kernels/types/printable.h"

namespace fs = std::filesystem;

namespace tovamill {
namespace {

constexpr std::string_view kGgufEnding = ".gguf";
constexpr std::size_t kPartDigits = 5;  // of the numbers in the name of a part

std::string five_digits(std::size_t number) {
  std::string text = std::to_string(number);
  return std::string(kPartDigits - std::min(kPartDigits, text.size()), '0') + text;
}

// The name of a part: STEM-00001-of-00003.gguf.
struct PartName {
  std::string stem;
  std::size_t number, n_parts;  // from 1

  std::string of(std::size_t part) const {
    return stem + "-" + five_digits(part) + "-of-" + five_digits(n_parts) +
           std::string(kGgufEnding);
  }
};

std::optional<PartName> part_name(const std::string& path) {
  std::string_view rest = path;
  if (!rest.ends_with(kGgufEnding)) return std::nullopt;
  rest.remove_suffix(kGgufEnding.size());
  const auto take_number = [&](std::string_view before) -> std::optional<std::size_t> {
    if (rest.size() < kPartDigits + before.size()) return std::nullopt;
    const std::string_view digits = rest.substr(rest.size() - kPartDigits);
    if (digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
    rest.remove_suffix(kPartDigits);
    if (!rest.ends_with(before)) return std::nullopt;
    rest.remove_suffix(before.size());
    return std::stoul(std::string(digits));
  };
  const auto n_parts = take_number("-of-");
  const auto number = n_parts ? take_number("-") : std::nullopt;
  if (!number || *number < 1 || *number > *n_parts) return std::nullopt;
  return PartName{std::string(rest), *number, *n_parts};
}

// A whole number of the metadata, not negative; nullopt where the key is absent.
std::optional<std::uint64_t> count_of(const nlohmann::json& metadata, const char* key,
                                      const std::string& path) {
  const auto entry = metadata.find(key);
  if (entry == metadata.end()) return std::nullopt;
  const bool fits = entry->is_number_integer() &&
                    (entry->is_number_unsigned() || entry->get<std::int64_t>() >= 0);
  if (!fits) throw BadData(path + ": " + key + " is not a whole number from 0");
  return entry->get<std::uint64_t>();
}

// What one part may have beside the others.
bool is_own_key(const std::string& key) {
  return key.starts_with("split.") || key == "general.alignment";
}

}  // namespace

GgufModel::GgufModel(const std::string& path) {
  open_part(path);
  const auto n_parts = count_of(config(), "split.count", path);
  if (n_parts.value_or(0) > 1) open_parts(path);
}

void GgufModel::open_part(const std::string& path) {
  MappedFile file(path);
  GgufContents contents = read_gguf(file, table_);
  parts_.push_back({std::move(file), std::move(contents)});
}

// All parts of a split model, one of which has been read.
void GgufModel::open_parts(const std::string& path) {
  const auto n_parts = *count_of(config(), "split.count", path);
  const auto name = part_name(path);
  if (!name || name->n_parts != n_parts) {
    throw BadData(path + ": is one of " + with_thousands(n_parts) +
                  " parts of a split model, but is not named so, as NAME-00001-of-" +
                  five_digits(n_parts) + ".gguf: give it its name back");
  }
  parts_.clear();
  table_ = TensorTable();
  for (std::size_t number = 1; number <= n_parts; ++number) {
    const std::string part = name->of(number);
    std::error_code error;
    if (!fs::exists(part, error)) {
      throw Error(ExitCode::no_input,
                  part + ": does not exist: it is part " + std::to_string(number) + " of " +
                      std::to_string(n_parts) + " of " + path + ": download it");
    }
    open_part(part);
    check_part(number, n_parts);
  }
  const auto n_tensors = count_of(config(), "split.tensors.count", parts_.front().file.path());
  if (n_tensors && *n_tensors != table_.names().size()) {
    throw BadData(parts_.front().file.path() + ": split.tensors.count is " +
                  with_thousands(*n_tensors) + ", but the " + std::to_string(n_parts) +
                  " parts have " + counted(table_.names().size(), "tensor") +
                  ": they are not of one model");
  }
}

// The last part that was read, against its name and the first one.
void GgufModel::check_part(std::size_t number, std::size_t n_parts) const {
  const std::string& path = parts_.back().file.path();
  const nlohmann::json& metadata = parts_.back().contents.metadata;
  const auto expect = [&](const char* key, std::uint64_t value) {
    const auto said = count_of(metadata, key, path);
    if (said == value) return;
    throw BadData(path + ": " + key + " is " + (said ? std::to_string(*said) : "missing") +
                  ", where its name and the other parts say " + std::to_string(value) +
                  ": it is of another model");
  };
  expect("split.count", n_parts);
  expect("split.no", number - 1);
  const nlohmann::json& first = config();
  const auto n_tensors = count_of(first, "split.tensors.count", parts_.front().file.path());
  if (n_tensors) expect("split.tensors.count", *n_tensors);
  for (const auto& [key, value] : metadata.items()) {
    const auto there = first.find(key);
    if (is_own_key(key) || (there != first.end() && *there == value)) continue;
    throw BadData(path + ": has a " + printable(key) + " other than the first part's" +
                  (there == first.end() ? ", which has none" : "") + ": it is of another model");
  }
}

std::string GgufModel::chat_template() const {
  const auto entry = config().find("tokenizer.chat_template");
  if (entry != config().end()) return chat_template_of(*entry, path());
  for (const auto& [key, value] : config().items()) {
    if (!key.starts_with("tokenizer.chat_template")) continue;
    throw BadData(path() + ": has several chat templates, of which none is the default (" +
                  printable(key) + " is one): choose one with --chat-template");
  }
  return "";
}

std::vector<std::string> GgufModel::file_paths() const {
  std::vector<std::string> out;
  for (const Part& part : parts_) out.push_back(part.file.path());
  return out;
}

std::string GgufModel::digest() const {
  Digest digest;
  for (const Part& part : parts_) {
    digest.add(std::string_view(fs::path(part.file.path()).filename().native()));
    digest.add(static_cast<std::uint64_t>(part.file.bytes().size()));
    digest.add(part.contents.header);
  }
  for (const TensorView& tensor : table_.tensors()) digest.add_sample(tensor);
  return digest.hex();
}

std::string gguf_of_directory(const std::string& directory) {
  std::error_code error;
  std::vector<std::string> models;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    const std::string file = at->path().string();
    if (!file.ends_with(kGgufEnding)) continue;
    const auto name = part_name(file);
    models.push_back(name && name->n_parts > 1 ? name->of(1) : file);
  }
  std::ranges::sort(models);
  models.erase(std::unique(models.begin(), models.end()), models.end());
  if (models.empty()) return "";
  if (models.size() == 1) return models.front();
  throw Error(ExitCode::no_input, directory + ": has " + std::to_string(models.size()) +
                                      " GGUF models: give one of them, as in --model " +
                                      models.front());
}

std::vector<std::string> gguf_parts_of(const std::string& path) {
  const auto name = part_name(path);
  std::vector<std::string> out;
  for (std::size_t number = 1; name && number <= name->n_parts; ++number) {
    std::error_code error;
    if (fs::exists(name->of(number), error)) out.push_back(name->of(number));
  }
  return out.empty() ? std::vector{path} : out;
}

}  // namespace tovamill
