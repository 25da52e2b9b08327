#include "engine/text/unicode_sets.h"

#include <algorithm>
#include <cstdlib>
#include <span>
#include <string>

#include "engine/text/unicode_tables.h"

namespace tovamill {
namespace {

constexpr char32_t kEndOfCodePoints = 0x110000;

CodePointSet decoded(const char* runs) {
  CodePointSet out;
  char32_t at = 0;
  for (const char* text = runs; *text != '\0';) {
    char* end = nullptr;
    const auto skipped = static_cast<char32_t>(std::strtoul(text, &end, 10));
    const auto taken = static_cast<char32_t>(std::strtoul(end, &end, 10));
    out.push_back({at + skipped, at + skipped + taken - 1});
    at += skipped + taken;
    text = end;
  }
  return out;
}

// Case, spaces, '-' and '_' taken out.
std::string plain(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c != ' ' && c != '_' && c != '-')
      out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

// The categories whose names begin with one of the words of `prefixes`, and the ranges `more`.
CodePointSet categories(std::string_view prefixes, CodePointSet more = {}) {
  while (!prefixes.empty()) {
    const std::string_view prefix = prefixes.substr(0, prefixes.find(' '));
    prefixes.remove_prefix(std::min(prefixes.size(), prefix.size() + 1));
    for (const NamedRuns& category : categories_table()) {
      if (!std::string_view(category.name).starts_with(prefix)) continue;
      const CodePointSet set = decoded(category.runs);
      more.insert(more.end(), set.begin(), set.end());
    }
  }
  return united(std::move(more));
}

std::optional<CodePointSet> found_in(std::span<const NamedRuns> table, const std::string& name) {
  for (const NamedRuns& entry : table) {
    if (plain(entry.name) == name) return decoded(entry.runs);
  }
  return std::nullopt;
}

// Names of categories, as prefixes of the short ones.
struct CategoryName {
  const char* name;
  const char* prefixes;
};
constexpr CategoryName kLongNames[] = {{"letter", "L"},
                                       {"lc", "Lu Ll Lt"},
                                       {"casedletter", "Lu Ll Lt"},
                                       {"uppercaseletter", "Lu"},
                                       {"lowercaseletter", "Ll"},
                                       {"titlecaseletter", "Lt"},
                                       {"modifierletter", "Lm"},
                                       {"otherletter", "Lo"},
                                       {"mark", "M"},
                                       {"nonspacingmark", "Mn"},
                                       {"spacingmark", "Mc"},
                                       {"enclosingmark", "Me"},
                                       {"number", "N"},
                                       {"decimalnumber", "Nd"},
                                       {"letternumber", "Nl"},
                                       {"othernumber", "No"},
                                       {"punctuation", "P"},
                                       {"connectorpunctuation", "Pc"},
                                       {"dashpunctuation", "Pd"},
                                       {"openpunctuation", "Ps"},
                                       {"closepunctuation", "Pe"},
                                       {"initialpunctuation", "Pi"},
                                       {"finalpunctuation", "Pf"},
                                       {"otherpunctuation", "Po"},
                                       {"symbol", "S"},
                                       {"mathsymbol", "Sm"},
                                       {"currencysymbol", "Sc"},
                                       {"modifiersymbol", "Sk"},
                                       {"othersymbol", "So"},
                                       {"separator", "Z"},
                                       {"spaceseparator", "Zs"},
                                       {"lineseparator", "Zl"},
                                       {"paragraphseparator", "Zp"},
                                       {"control", "Cc"},
                                       {"format", "Cf"},
                                       {"privateuse", "Co"}};

std::optional<CodePointSet> category(const std::string& name) {
  for (const CategoryName& known : kLongNames) {
    if (known.name == name) return categories(known.prefixes);
  }
  if (name.size() == 1 && std::string_view("lmnpsz").find(name[0]) != std::string_view::npos)
    return categories(std::string(1, static_cast<char>(name[0] - 'a' + 'A')));
  if (name == "c" || name == "other") return complement(categories("L M N P S Z"));
  if (name == "cn" || name == "unassigned")
    return complement(categories("L M N P S Z Cc Cf Co", {{0xd800, 0xdfff}}));
  return found_in(categories_table(), name);
}

CodePointSet spaces() { return categories("Z", {{0x9, 0xd}, {0x85, 0x85}}); }

CodePointSet more(const char* name) { return *found_in(more_table(), name); }

std::optional<CodePointSet> bracket_set(const std::string& name) {
  if (name == "alpha") return categories("L Nl", more("alpha"));
  if (name == "alnum") return categories("L Nl Nd", more("alpha"));
  if (name == "upper") return categories("Lu", more("upper"));
  if (name == "lower") return categories("Ll", more("lower"));
  if (name == "word") return categories("L M Nd Nl Pc", more("word"));
  if (name == "digit") return categories("Nd");
  if (name == "space") return spaces();
  if (name == "blank") return categories("Zs", {{'\t', '\t'}});
  if (name == "cntrl") return categories("Cc");
  if (name == "punct") return categories("P S");
  if (name == "ascii") return CodePointSet{{0, 0x7f}};
  if (name == "xdigit") return CodePointSet{{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
  if (name == "graph") return categories("L M N P S Cf Co");
  if (name == "print") return categories("L M N P S Cf Co Zs");
  if (name == "numeric") return categories("N", more("numeric"));
  return std::nullopt;
}

}  // namespace

std::optional<CodePointSet> unicode_set(std::string_view name) {
  const std::string sought = plain(name);
  if (auto set = category(sought)) return set;
  if (auto set = found_in(scripts_table(), sought)) return set;
  return bracket_set(sought);
}

CodePointSet united(CodePointSet ranges) {
  std::ranges::sort(ranges, {}, &CodePointRange::first);
  CodePointSet out;
  for (const CodePointRange& range : ranges) {
    if (!out.empty() && range.first <= out.back().last + 1) {
      out.back().last = std::max(out.back().last, range.last);
    } else {
      out.push_back(range);
    }
  }
  return out;
}

CodePointSet complement(const CodePointSet& set) {
  CodePointSet out;
  char32_t next = 0;
  for (const auto& [first, last] : set) {
    if (first > next) out.push_back({next, first - 1});
    next = last + 1;
  }
  if (next < kEndOfCodePoints) out.push_back({next, kEndOfCodePoints - 1});
  return out;
}

}  // namespace tovamill
