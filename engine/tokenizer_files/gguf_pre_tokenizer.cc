// The rules are those of llama.cpp (src/llama-vocab.cpp and src/unicode.cpp), where each expression
// cuts the pieces of the one before, and what it leaves between matches are pieces, too. Written
// here as what they match there:
// - Expressions with \p{..} see letters of either case alike beyond ASCII.
// - Characters that came with Unicode 16 are of no class.
// - Those without (std::wregex of the C locale) know digits and words of ASCII only, and no white
//   space beyond ASCII but as \s.
#include "engine/tokenizer_files/gguf_pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "engine/text/unicode_classes.h"
#include "engine/tokenizer/tokenizer_json.h"

namespace tovamill {
namespace {

using Regexes = std::array<const char*, 6>;  // the first empty one ends them

// Parts of the expressions: @name stands for one.
struct NamedPart {
  std::string_view name, regex;
};

constexpr std::array kRegexParts{
    NamedPart{"@contractions", "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"},
    NamedPart{"@gpt2", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+|@others|@spaces)"},
    NamedPart{"@others", R"( ?[^\s\p{L}\p{N}]+)"},
    NamedPart{"@spaces", R"(\s+(?!\S)|\s+)"},

    NamedPart{"@word", R"([^\r\n\p{L}\p{N}]?\p{L}+)"},
};

constexpr const char* kDigit = R"(\p{N})";
constexpr const char* kDigitGroups = "digit groups";  // no expression

constexpr Regexes kPreGpt2{"@gpt2"};
constexpr Regexes kPreStarcoder{kDigit, "@gpt2"};
constexpr Regexes kPreLlama3{R"(@contractions|@word|\p{N}{1,3}|@others[\r\n]*|\s*[\r\n]+|@spaces)"};
constexpr Regexes kPreQwen2{R"(@contractions|@word|\p{N}|@others[\r\n]*|\s*[\r\n]+|@spaces)"};
constexpr Regexes kPreQwen35{
    R"(@contractions|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|@spaces)"};
constexpr Regexes kPreDefault{R"([\p{P}\$\+<=>\^~\|]+)", "@gpt2", R"(\p{N}+)", "[0-9][0-9][0-9]"};
constexpr Regexes kPreFalcon{R"([\p{P}\$\+<=>\^~\|`]+)", "@gpt2", "[0-9][0-9][0-9]"};
constexpr Regexes kPreJais2{
    R"(@contractions|@word|\p{N}{1,3}|@others[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})"};

// Letters with a case, but those that differ only in being titles.
constexpr const char* kCasedWords =
    "\\s?[A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-"
    "\\x{293}\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}"
    "\\x{388}-\\x{38A}\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}"
    "\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}"
    "\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-"
    "\\x{1F15}\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}"
    "\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-"
    "\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}"
    "-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}"
    "\\x{2124}\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}"
    "\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-"
    "\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-"
    "\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}"
    "-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}"
    "\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}]+";
constexpr const char* kDeepseekCjk = R"([\x{800}-\x{9FA5}\x{AC00}-\x{D7FF}&&\S]+)";
constexpr Regexes kPreDeepseekLlm{
    R"([\r\n])",
    kCasedWords,
    R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3001}\x{3002}]+)",
    R"(\s+\z)",
    kDeepseekCjk,
    R"(\p{N}+)"};
constexpr Regexes kPreDeepseekCoder{R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kDeepseekCjk,
                                    kDigit};
constexpr Regexes kPreDeepseek3{
    R"(\p{N}{1,3})", R"([\x{4E00}-\x{9FA5}\x{3040}-\x{30FF}]+)",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|@spaces)"};

constexpr Regexes kPreBloom{
    R"( ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+)"};
constexpr Regexes kPreViking{kPreBloom[0], kDigit};
constexpr Regexes kPreTekken{
    R"([^\r\n\p{L}\p{N}]?[^\P{L}a-z]*[^\P{L}A-Z]+|[^\r\n\p{L}\p{N}]?[^\P{L}a-z]+[^\P{L}A-Z]*|\p{N}|@others[\r\n/]*|\s*[\r\n]+|@spaces)"};
constexpr Regexes kPreGpt4o{
    R"([^\r\n\p{L}\p{N}]?[^\P{L}a-z]*[^\P{L}A-Z]+@contractions?|[^\r\n\p{L}\p{N}]?[^\P{L}a-z]+[^\P{L}A-Z]*@contractions?|\p{N}{1,3}|@others[\r\n/]*|\s*[\r\n]+|@spaces)"};
constexpr Regexes kPreTinyAya{
    kDigitGroups,
    R"([^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+@contractions?|\p{N}{1,3}|@others[\r\n/]*|\s*[\r\n]+|@spaces)"};
constexpr Regexes kPreSuperBpe{R"(\p{N}+)", "(?=(?:[0-9]{3})+(?![0-9]))"};
constexpr Regexes kPreBailing{
    R"('(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|@word|\p{N}|@others[\r\n]*|\s*[\r\n]|@spaces)"};
constexpr Regexes kPreSeedCoder{
    R"(@contractions|@word|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|@spaces)"};
constexpr Regexes kPreUfakzeka{R"(@word|\p{N}|@others[\r\n]*|\s*[\r\n]+|@spaces)"};
constexpr Regexes kPreExaoneMoe{
    R"(@contractions|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}|@others[\r\n/]?|\s*[\r\n]|@spaces)"};
constexpr Regexes kPreMinicpm5{R"(\p{N}{1,3})",
                               R"(@contractions|@word|\p{N}+|@others[\r\n]*|\s*[\r\n]+|@spaces)"};
constexpr Regexes kPreGemma4{R"([^\n]+|[\n]+)"};

struct NamedKind {
  std::string_view name;
  const Regexes* regexes;
  bool ignore_merges = false;
  bool adds_bos = false;
};

constexpr std::array kPreTokenizers{
    NamedKind{"default", &kPreDefault},
    NamedKind{"a.x-4.0", &kPreGpt2},
    NamedKind{"bailingmoe", &kPreBailing},
    NamedKind{"bailingmoe2", &kPreBailing},
    NamedKind{"bloom", &kPreBloom},
    NamedKind{"chatglm-bpe", &kPreLlama3},
    NamedKind{"codeshell", &kPreStarcoder},
    NamedKind{"cohere2moe", &kPreTinyAya},
    NamedKind{"command-r", &kPreStarcoder},
    NamedKind{"dbrx", &kPreLlama3},
    NamedKind{"deepseek-coder", &kPreDeepseekCoder},
    NamedKind{"deepseek-llm", &kPreDeepseekLlm},
    NamedKind{"deepseek-r1-qwen", &kPreQwen2},
    NamedKind{"deepseek-v3", &kPreDeepseek3},
    NamedKind{"exaone", &kPreStarcoder},
    NamedKind{"exaone-moe", &kPreExaoneMoe},
    NamedKind{"exaone4", &kPreGpt2},
    NamedKind{"falcon", &kPreFalcon},
    NamedKind{"falcon-h1", &kPreLlama3, true, true},
    NamedKind{"falcon3", &kPreLlama3, true, true},
    NamedKind{"gemma4", &kPreGemma4, false, true},
    NamedKind{"gigachat", &kPreGpt2},
    NamedKind{"glm4", &kPreLlama3},
    NamedKind{"gpt-2", &kPreGpt2},
    NamedKind{"gpt-4o", &kPreGpt4o},
    NamedKind{"gpt3-finnish", &kPreBloom},
    NamedKind{"granite-docling", &kPreGpt2},
    NamedKind{"grok-2", &kPreQwen2},
    NamedKind{"hunyuan", &kPreQwen2},
    NamedKind{"hunyuan-dense", &kPreDeepseek3},
    NamedKind{"hy_v4", &kPreDeepseek3},
    NamedKind{"jais", &kPreGpt2},
    NamedKind{"jais-2", &kPreJais2},
    NamedKind{"joyai-llm", &kPreDeepseek3},
    NamedKind{"kanana2", &kPreGpt4o},
    NamedKind{"kormo", &kPreQwen2},
    NamedKind{"lfm2", &kPreLlama3, true, true},
    NamedKind{"llada-moe", &kPreBailing},
    NamedKind{"llama-bpe", &kPreLlama3, true, true},
    NamedKind{"llama-v3", &kPreLlama3, true, true},
    NamedKind{"llama3", &kPreLlama3, true, true},
    NamedKind{"llama4", &kPreGpt4o},
    NamedKind{"megrez", &kPreQwen2},
    NamedKind{"mellum", &kPreGpt2},
    NamedKind{"mellum2", &kPreStarcoder},
    NamedKind{"midm-2.0", &kPreLlama3, true, true},
    NamedKind{"minerva-7b", &kPreStarcoder},
    NamedKind{"minicpm5", &kPreMinicpm5, true},
    NamedKind{"minimax-m2", &kPreGpt4o},
    NamedKind{"mpt", &kPreGpt2},
    NamedKind{"olmo", &kPreGpt2},
    NamedKind{"phi-2", &kPreGpt2},
    NamedKind{"pixtral", &kPreLlama3, true, true},
    NamedKind{"poro-chat", &kPreBloom},
    NamedKind{"qwen2", &kPreQwen2},
    NamedKind{"qwen35", &kPreQwen35},
    NamedKind{"refact", &kPreStarcoder},
    NamedKind{"seed-coder", &kPreSeedCoder},
    NamedKind{"smaug-bpe", &kPreLlama3},
    NamedKind{"smollm", &kPreStarcoder},
    NamedKind{"solar-open", &kPreQwen2},
    NamedKind{"stablelm2", &kPreQwen2},
    NamedKind{"starcoder", &kPreStarcoder},
    NamedKind{"superbpe", &kPreSuperBpe},
    NamedKind{"talkie", &kPreGpt4o},
    NamedKind{"tekken", &kPreTekken, true, true},
    NamedKind{"tiny_aya", &kPreTinyAya},
    NamedKind{"trillion", &kPreGpt2},
    NamedKind{"ufakzeka", &kPreUfakzeka},
    NamedKind{"viking", &kPreViking},
};

// `text` with the parts that it names.
std::string expanded(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto part = std::ranges::find_if(
        kRegexParts, [&](const NamedPart& p) { return text.substr(at).starts_with(p.name); });
    if (part == kRegexParts.end()) {
      out += text[at++];
    } else {
      out += expanded(part->regex);
      at += part->name.size();
    }
  }
  return out;
}

// The expression with the properties of Unicode 15.1: \p{X} without the newer characters.
std::string with_older_properties(std::string_view regex) {
  std::string newer;
  for (const auto& [first, last] : newer_than_unicode_15()) {
    char range[40];
    std::snprintf(range, sizeof range, R"(\x{%X}-\x{%X})", static_cast<unsigned>(first),
                  static_cast<unsigned>(last));
    newer += range;
  }
  std::string out;
  for (std::size_t at = 0; at < regex.size();) {
    const bool is_negated = regex.substr(at).starts_with(R"(\P{)");
    if (!is_negated && !regex.substr(at).starts_with(R"(\p{)")) {
      out += regex[at++];
      continue;
    }
    const std::size_t end = regex.find('}', at) + 1;
    const std::string older =
        R"([\p)" + std::string(regex.substr(at + 2, end - at - 2)) + "&&[^" + newer + "]]";
    out += is_negated ? "[^" + older + "]" : older;
    at = end;
  }
  return out;
}

PreTokenizerStep step_of(const std::string& regex, const std::string& where) {
  const UnicodeClasses& classes = UnicodeClasses::before_16();
  if (regex == kDigit) return numbers_step(classes);
  if (regex == kDigitGroups) return digit_groups_step(classes);
  if (const auto known = WordPattern::for_regex(regex)) return word_step(known->with(classes));
  return split_step(Regex(with_older_properties(regex), false, where), SplitBehavior::isolated,
                    false);
}

}  // namespace

GgufPreTokenizer gguf_pre_tokenizer(std::string_view name, const std::string& where) {
  std::string known;
  for (const NamedKind& kind : kPreTokenizers) {
    if (kind.name != name) {
      known += (known.empty() ? "" : ", ") + std::string(kind.name);
      continue;
    }
    GgufPreTokenizer out{{}, kind.ignore_merges, kind.adds_bos};
    for (const char* regex : *kind.regexes) {
      if (regex != nullptr) out.steps.add(step_of(expanded(regex), where));
    }
    return out;
  }
  refuse(where, "the pre-tokenizer " + in_quotes(name) +
                    " (tokenizer.ggml.pre) is not supported (" + known + " are)");
}

}  // namespace tovamill
