#include "io/model/hf_model.h"

#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "io/files/json_file.h"
#include "io/model/chat_template_text.h"
#include "io/model/digest.h"
#include "io/model/safetensors.h"
#include "kernels/types/error.h"
#include "kernels/types/printable.h"

namespace fs = std::filesystem;

namespace tovamill {

namespace {

constexpr std::size_t kMaxConfigBytes = 16u << 20;
constexpr std::size_t kMaxTokenizerBytes = 64u << 20;  // the largest known ones have 35 MB
constexpr std::size_t kMaxIndexBytes = 64u << 20;
constexpr char kChatTemplate[] = "chat_template.jinja";
constexpr char kMoreChatTemplates[] = "additional_chat_templates";
constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";

// Rotary frequencies, which older versions of transformers saved, and some tools leave in one of
// index and file only. Nobody reads them.
bool is_buffer(const std::string& tensor) { return tensor.ends_with(".rotary_emb.inv_freq"); }

}  // namespace

HfModel::HfModel(const std::string& directory, Parts parts) : path_(directory) {
  const bool all = parts != Parts::tokenizer_only;
  if (!has("config.json") && all) {
    throw Error(ExitCode::no_input,
                path_ + ": has no config.json, so it is no model directory" + kWhatAModelIs);
  }
  config_ = read_if_there("config.json");
  const bool has_tokenizer = has("tokenizer.json");
  if (!has_tokenizer && parts != Parts::weights_only) {
    std::string other;  // tokenizers of another format
    for (const char* name : {"tekken.json", "tokenizer.model"}) {
      if (other.empty() && has(name)) other = name;
    }
    throw Error(ExitCode::no_input, path_ + ": has no tokenizer.json" +
                                        (other.empty() ? ""
                                                       : ", only " + other +
                                                             ", which is not read: save the "
                                                             "tokenizer once with transformers as "
                                                             "a fast tokenizer"));
  }
  if (has_tokenizer) tokenizer_ = read_json_object(file_path("tokenizer.json"), kMaxTokenizerBytes);
  tokenizer_config_ = read_if_there("tokenizer_config.json");
  generation_config_ = read_if_there("generation_config.json");
  special_tokens_map_ = read_if_there("special_tokens_map.json");
  added_tokens_ = read_if_there("added_tokens.json");
  if (has(kChatTemplate)) {
    const MappedFile file(file_path(kChatTemplate));
    chat_template_file_ = checked_chat_template(std::string(file.text()), file.path());
  }
  if (all) open_weights();
}

std::string HfModel::file_path(const std::string& name) const {
  return (std::filesystem::path(path_) / name).string();
}

bool HfModel::has(const std::string& name) const {
  std::error_code ignored;
  return std::filesystem::exists(file_path(name), ignored);
}

nlohmann::json HfModel::read_if_there(const std::string& name) const {
  return has(name) ? read_json_object(file_path(name), kMaxConfigBytes) : nlohmann::json();
}

std::string HfModel::chat_template() const {
  if (chat_template_file_) {
    if (chat_template_file_->empty())
      throw BadData(file_path(kChatTemplate) +
                    ": is empty: remove it, or write a template into it");
    return *chat_template_file_;
  }
  const auto entry = tokenizer_config_.find("chat_template");
  const bool is_named = entry != tokenizer_config_.end() && !entry->is_null();
  refuse_unread_chat_templates();
  return is_named ? chat_template_of(*entry, file_path("tokenizer_config.json")) : "";
}

// Where transformers would have several templates without a default, or one that only processors
// read.
void HfModel::refuse_unread_chat_templates() const {
  std::error_code error;
  for (fs::directory_iterator at(file_path(kMoreChatTemplates), error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().extension() != ".jinja") continue;
    throw BadData(file_path(kMoreChatTemplates) +
                  ": has chat templates, but there is no default "
                  "one, " +
                  kChatTemplate + ": add it, or choose one with --chat-template");
  }
  const auto entry = tokenizer_config_.find("chat_template");
  if (has("chat_template.json") && (entry == tokenizer_config_.end() || entry->is_null())) {
    throw BadData(file_path("chat_template.json") +
                  ": is not read (nor is it by AutoTokenizer): "
                  "write its text to " +
                  kChatTemplate + ", or choose one with --chat-template");
  }
}

void HfModel::open_weights() {
  for (const char* adapter : {"adapter_config.json", "adapter_model.safetensors"}) {
    if (!has(adapter)) continue;
    throw BadData(path_ + ": has an adapter (" + adapter +
                  "), which is not applied: merge it into the weights, or move it elsewhere");
  }
  if (has(kSingle)) {
    open_weight_file(kSingle);
  } else if (has(kIndex)) {
    open_shards(kIndex);
  } else {
    refuse_missing_weights();
  }
}

void HfModel::open_shards(const std::string& index_name) {
  const std::string index_path = file_path(index_name);
  const nlohmann::json index = read_json_object(index_path, kMaxIndexBytes);
  const auto weight_map = index.find("weight_map");
  if (weight_map == index.end() || !weight_map->is_object() || weight_map->empty()) {
    throw BadData(index_path + ": has no object 'weight_map' from tensor names to file names");
  }
  std::set<std::string> names;
  for (const auto& [tensor, value] : weight_map->items()) {
    const std::string name = value.is_string() ? value.get<std::string>() : "";
    const bool plain = !name.empty() && name.find('/') == std::string::npos &&
                       name.find("..") == std::string::npos && name.find('\0') == std::string::npos;
    if (!plain) {
      throw BadData(index_path + ": tensor " + printable(tensor) +
                    " is in a file whose name is not a plain file name: " + printable(name));
    }
    names.insert(name);
  }
  for (const std::string& name : names) {
    if (!has(name)) {
      throw Error(ExitCode::no_input, path_ + ": has no file " + printable(name) + ", one of the " +
                                          std::to_string(names.size()) + " that " + kIndex +
                                          " names: download it");
    }
    open_weight_file(name);
  }
  for (const auto& [tensor, name] : weight_map->items()) {
    if (!table_.contains(tensor) && !is_buffer(tensor)) {
      throw BadData(file_path(name.get<std::string>()) + ": has no tensor " + printable(tensor) +
                    ", which " + kIndex + " says it has");
    }
  }
  for (const std::string& tensor : table_.names()) {
    if (weight_map->contains(tensor) || is_buffer(tensor)) continue;
    throw BadData(table_.file_of(tensor) + ": has the tensor " + printable(tensor) + ", which " +
                  kIndex + " does not name: they are of different models");
  }
}

void HfModel::open_weight_file(const std::string& name) {
  MappedFile file(file_path(name));
  const auto header = read_safetensors(file, table_);
  weight_files_.push_back({std::move(file), header});
}

void HfModel::refuse_missing_weights() const {
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (!has(name)) continue;
    throw Error(ExitCode::no_input, path_ + ": has its weights in " + name +
                                        ", which is not read: save the model as safetensors");
  }
  throw Error(ExitCode::no_input,
              path_ + ": has no weights: neither " + kSingle + " nor " + kIndex + " is there");
}

std::vector<std::string> HfModel::file_paths() const {
  std::vector<std::string> paths;
  for (const char* name :
       {"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
        "special_tokens_map.json", "added_tokens.json", kChatTemplate}) {
    if (has(name)) paths.push_back(file_path(name));
  }
  // The index is read only where there is no single file.
  if (!weight_files_.empty() && !has(kSingle)) paths.push_back(file_path(kIndex));
  for (const WeightFile& weights : weight_files_) paths.push_back(weights.file.path());
  return paths;
}

std::string HfModel::digest() const {
  Digest digest;
  for (const auto* json : {&config_, &tokenizer_, &tokenizer_config_, &generation_config_}) {
    digest.add(std::string_view(json->dump()));
  }
  // Only if they exist: models without them keep the digest that earlier runs recorded.
  for (const auto* json : {&special_tokens_map_, &added_tokens_}) {
    if (!json->is_null()) digest.add(std::string_view(json->dump()));
  }
  if (chat_template_file_) digest.add(std::string_view(*chat_template_file_));
  for (const WeightFile& weights : weight_files_) {
    digest.add(std::string_view(std::filesystem::path(weights.file.path()).filename().native()));
    digest.add(static_cast<std::uint64_t>(weights.file.bytes().size()));
    digest.add(weights.header);
  }
  for (const TensorView& tensor : table_.tensors()) digest.add_sample(tensor);
  return digest.hex();
}

}  // namespace tovamill
