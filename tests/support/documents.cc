#include "tests/support/documents.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <map>
#include <sstream>

#include "tests/support/runs/subprocess.h"

namespace tovamill::testing {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The lines outside of ``` fences; those inside are empty.
std::string without_fences(const std::string& markdown) {
  std::istringstream lines(markdown);
  std::string out;
  bool is_code = false;
  for (std::string line; std::getline(lines, line);) {
    const bool is_fence = line.find_first_not_of(' ') == line.find("```") && line.size() >= 3 &&
                          line.find("```") != std::string::npos;
    if (is_fence) is_code = !is_code;
    out += (is_fence || is_code ? "" : line) + "\n";
  }
  return out;
}

// Blanks in place of `code`, which does not go beyond its paragraph.
std::string without_code(std::string text) {
  for (std::size_t at = 0; (at = text.find('`', at)) != std::string::npos;) {
    const std::size_t n = std::min(text.find_first_not_of('`', at), text.size()) - at;
    std::size_t end = text.find(std::string(n, '`'), at + n);
    if (end == std::string::npos || text.find("\n\n", at) < end) {
      at += n;
      continue;
    }
    end += n;
    for (; at < end; ++at) {
      if (text[at] != '\n') text[at] = ' ';
    }
  }
  return text;
}

std::string slug_of(const std::string& title) {
  std::string slug;
  for (const char c : title) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || c == '-' || c == '_' || byte >= 0x80)
      slug += static_cast<char>(byte < 0x80 ? std::tolower(byte) : byte);
    else if (c == ' ')
      slug += '-';
  }
  return slug;
}

std::vector<std::string> headings_of(const std::string& markdown) {
  std::istringstream lines(without_fences(markdown));
  std::vector<std::string> headings;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t level = line.find_first_not_of('#');
    if (level == 0 || level > 6 || level == std::string::npos || line[level] != ' ') continue;
    headings.push_back(line.substr(level + 1));
  }
  return headings;
}

// A link's target without its title and angle brackets.
std::string bare_target(const std::string& inside) {
  std::string target = inside.substr(0, inside.find_first_of(" \n\t"));
  if (target.size() >= 2 && target.front() == '<') target = target.substr(1, target.size() - 2);
  return target;
}

std::vector<std::string> links_of(const std::string& markdown) {
  const std::string text = without_code(without_fences(markdown));
  std::vector<std::string> links;
  for (std::size_t at = 0; (at = text.find("](", at)) != std::string::npos;) {
    at += 2;
    const std::size_t end = text.find(')', at);
    if (end == std::string::npos) break;
    links.push_back(bare_target(text.substr(at, end - at)));
  }
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find("]: ");
    if (line.starts_with("[") && colon != std::string::npos)
      links.push_back(bare_target(line.substr(colon + 3)));
  }
  return links;
}

bool is_external(const std::string& link) {
  const std::size_t colon = link.find(':');
  return link.starts_with("//") || (colon != std::string::npos && colon < link.find_first_of("/#"));
}

bool holds(const std::set<std::string>& files, const std::string& path) {
  if (path == "." || files.contains(path)) return true;
  const auto below = files.lower_bound(path + "/");
  return below != files.end() && below->starts_with(path + "/");
}

// Why the link of `file` leads nowhere; empty where it does not.
std::string fault_of(const fs::path& root, const std::set<std::string>& files,
                     const std::string& file, const std::string& link) {
  const std::size_t hash = link.find('#');
  const std::string path = link.substr(0, hash);
  if (path.empty() && hash == std::string::npos) return "it is empty";
  if (path.starts_with("/")) return "it is not relative";
  std::string target =
      path.empty() ? file : (fs::path(file).parent_path() / path).lexically_normal().string();
  if (target.size() > 1 && target.ends_with("/")) target.pop_back();
  if (!holds(files, target)) return "the repository has no " + target;
  if (hash == std::string::npos) return "";
  if (!target.ends_with(".md")) return "only Markdown files have anchors";
  return anchors_of(text_of(root / target)).contains(link.substr(hash + 1))
             ? ""
             : target + " has no such heading";
}

// A source with the line breaks of its comments replaced by blanks.
std::string joined_comments(const std::string& source) {
  std::string out;
  for (std::size_t at = 0; at < source.size(); ++at) {
    if (source[at] == '\n') {
      std::size_t next = source.find_first_not_of(" \t", at + 1);
      if (next != std::string::npos && source.find_first_of("/#", next) == next) {
        next = std::min(source.find_first_not_of("/#", next), source.size());
        out += ' ';
        at = std::min(source.find_first_not_of(' ', next), source.size()) - 1;
        continue;
      }
    }
    out += source[at];
  }
  return out;
}

// The quoted titles behind `at`, parted by commas, "and" or "to".
std::vector<std::string> titles_at(const std::string& text, std::size_t at) {
  std::vector<std::string> titles;
  for (bool goes_on = true; goes_on;) {
    goes_on = false;
    for (const std::string parting : {", \"", " to \"", " and \""}) {
      if (text.compare(at, parting.size(), parting) != 0) continue;
      const std::size_t begin = at + parting.size(), end = text.find('"', begin);
      if (end == std::string::npos) break;
      titles.push_back(text.substr(begin, end - begin));
      at = end + 1;
      goes_on = true;
      break;
    }
  }
  return titles;
}

bool is_source(const std::string& file) {
  const std::string ending = fs::path(file).extension().string();
  return ending == ".h" || ending == ".cc" || ending == ".cu" || ending == ".py" || ending == ".sh";
}

}  // namespace

std::set<std::string> files_of_tree(const fs::path& root) {
  std::set<std::string> files;
  const ProgramResult listed = run_subprocess({"git", "-C", root.string(), "ls-files"});
  std::istringstream lines(listed.exit_code == 0 ? listed.out : "");
  for (std::string file; std::getline(lines, file);) {
    if (fs::exists(root / file)) files.insert(file);
  }
  if (!files.empty()) return files;
  for (auto i = fs::recursive_directory_iterator(root); i != fs::end(i); ++i) {
    const std::string name = i->path().filename().string();
    if (name.starts_with(".") || (i.depth() == 0 && name.starts_with("build"))) {
      i.disable_recursion_pending();
    } else if (i->is_regular_file()) {
      files.insert(i->path().lexically_relative(root).string());
    }
  }
  return files;
}

std::set<std::string> anchors_of(const std::string& markdown) {
  std::set<std::string> anchors;
  std::map<std::string, int> seen;
  for (const std::string& heading : headings_of(markdown)) {
    const std::string slug = slug_of(heading);
    const int n = seen[slug]++;
    anchors.insert(n == 0 ? slug : slug + "-" + std::to_string(n));
  }
  return anchors;
}

LinkReport check_links(const fs::path& root, const std::set<std::string>& files) {
  LinkReport report;
  for (const std::string& file : files) {
    if (!file.ends_with(".md")) continue;
    for (const std::string& link : links_of(text_of(root / file))) {
      if (is_external(link)) continue;
      ++report.n_checked;
      const std::string fault = fault_of(root, files, file, link);
      if (!fault.empty()) report.broken.push_back(file + ": " + link + ": " + fault);
    }
  }
  return report;
}

LinkReport check_citations(const fs::path& root, const std::set<std::string>& files) {
  LinkReport report;
  const std::string name = "README.md";
  for (const std::string& file : files) {
    if (!is_source(file)) continue;
    const std::string text = joined_comments(text_of(root / file));
    for (std::size_t at = 0; (at = text.find(name, at)) != std::string::npos;) {
      std::size_t begin = at;
      while (begin > 0 && (std::isalnum(static_cast<unsigned char>(text[begin - 1])) != 0 ||
                           text[begin - 1] == '/' || text[begin - 1] == '_'))
        --begin;
      at += name.size();
      const std::string cited = text.substr(begin, at - begin);
      for (const std::string& title : titles_at(text, at)) {
        ++report.n_checked;
        const std::vector<std::string> headings = headings_of(text_of(root / cited));
        if (std::find(headings.begin(), headings.end(), title) == headings.end())
          report.broken.push_back(file + ": " + cited + " has no section \"" + title + "\"");
      }
    }
  }
  return report;
}

}  // namespace tovamill::testing
