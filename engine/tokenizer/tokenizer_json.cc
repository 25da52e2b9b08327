#include "engine/tokenizer/tokenizer_json.h"

#include <algorithm>
#include <utility>

#include "kernels/types/format.h"

namespace tovamill {
namespace {

// "a b" or ["a", "b"]. llama.cpp cuts at the first space that is not the first byte, `tokenizers`
// wants exactly one.
std::pair<std::string, std::string> merge_parts(const nlohmann::json& merge,
                                                const std::string& where) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  if (!merge.is_string()) refuse(where, "a merge is neither a text nor a pair of texts");
  const auto& text = merge.get_ref<const std::string&>();
  const auto space = text.find(' ', 1);
  if (space == std::string::npos)
    refuse(where, "the merge " + in_quotes(text) + " is not two tokens with a space between");
  return {text.substr(0, space), text.substr(space + 1)};
}

}  // namespace

void add_content(Vocabulary& vocabulary, const std::string& content, TokenId id,
                 const std::string& where) {
  if (content.size() > kMaxContentBytes) {
    refuse(where, "the token " + in_quotes(content) + " is longer than " +
                      with_thousands(kMaxContentBytes) + " bytes");
  }
  const auto index = static_cast<std::size_t>(id);
  if (index >= vocabulary.contents.size()) {
    vocabulary.contents.resize(index + 1);
    vocabulary.control.resize(index + 1);
  }
  if (!vocabulary.contents[index].empty()) {
    refuse(where, "the tokens " + in_quotes(vocabulary.contents[index]) + " and " +
                      in_quotes(content) + " share the id " + std::to_string(id));
  }
  if (!vocabulary.ids.emplace(content, id).second)
    refuse(where, "the token " + in_quotes(content) + " is there twice");
  vocabulary.contents[index] = content;
}

std::vector<Merge> read_merges(const nlohmann::json& merges, const Vocabulary& vocabulary,
                               bool later_holds, const std::string& where) {
  if (!merges.is_array()) refuse(where, "the merges are missing or not an array");
  std::vector<Merge> out;
  out.reserve(merges.size());
  for (const auto& merge : merges) {
    const auto rank = static_cast<std::uint32_t>(&merge - &merges[0]);
    if (merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version")) continue;
    const auto [left, right] = merge_parts(merge, where);
    const TokenId left_id = vocabulary.find(left);
    const TokenId right_id = vocabulary.find(right);
    const TokenId result = vocabulary.find(left + right);
    if (left.empty() || right.empty() || left_id == kNoToken || right_id == kNoToken ||
        result == kNoToken) {
      refuse(where, "the merge " + in_quotes(left + " " + right) +
                        " names a token that is not in the vocabulary");
    }
    if (!vocabulary.control[static_cast<std::size_t>(result)])
      out.push_back({left_id, right_id, rank, result});
  }
  if (!later_holds) std::ranges::reverse(out);
  return out;
}

}  // namespace tovamill
